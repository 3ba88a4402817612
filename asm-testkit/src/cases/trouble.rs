//! Store trouble: deadlines and refusals.
