//! Single flight: of n parallel callers one runs.
