//! The example in the project's README is the one that is compiled and tested.

const README: &str = include_str!("../../README.md");
const EXAMPLE: &str = include_str!("../../examples/axum/src/main.rs");

#[test]
fn the_readme_shows_the_example_that_is_tested() {
    let (example, _) = EXAMPLE
        .split_once("\n#[cfg(test)]")
        .expect("its tests come last");
    assert!(example.lines().count() <= 20, "twenty lines");
    assert!(README.contains(&format!("```rust\n{example}```\n")));
}
