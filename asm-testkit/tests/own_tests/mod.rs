//! Tests of other crates, by path and name.

use std::{fs, path::Path};

/// That there is a test of this name in that file of the workspace: `crate/tests/file.rs::name`.
#[track_caller]
pub(crate) fn is_there(test: &str) {
    let (path, name) = test.rsplit_once("::").expect("a path and a name");
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let source = fs::read_to_string(workspace.join(path)).unwrap_or_default();
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let is_test = |line: &&str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
    let named = format!("fn {name}(");
    let place = lines.iter().position(|line| line.contains(&named));
    let found = place.is_some_and(|at| lines[..at].iter().rev().take(2).any(is_test));
    assert!(found, "there is no test {test}");
}
