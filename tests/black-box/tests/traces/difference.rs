//! What two traces differ in.

/// Lines that are told of around one that differs.
const AROUND: usize = 4;

/// Lines that are told of at all.
const MOST: usize = 80;

/// The lines of the first alone with `-`, those of the second alone with `+`, and some of both around them. None if
/// there are none.
pub(crate) fn between(one: &[String], other: &[String]) -> Option<String> {
    let lines = merged(one, other);
    let differs: Vec<_> = (0..lines.len()).filter(|at| lines[*at].0 != ' ').collect();
    differs.first()?;
    let near = |at: &usize| differs.iter().any(|it| it.abs_diff(*at) <= AROUND);
    let mut text = String::new();
    let mut last = None;
    for (count, at) in (0..lines.len()).filter(near).enumerate() {
        if count == MOST {
            // What follows a difference may be no more than that.
            text += "and so on\n";
            break;
        }
        if last.is_some_and(|last| last + 1 != at) {
            text += "  …\n";
        }
        let (sign, line) = lines[at];
        text.extend([sign.to_string().as_str(), " ", line, "\n"]);
        last = Some(at);
    }
    Some(text)
}

/// All lines of both, by a longest common subsequence.
fn merged<'t>(one: &'t [String], other: &'t [String]) -> Vec<(char, &'t str)> {
    // Behind each two places, how many lines are common.
    let mut common = vec![vec![0_usize; other.len() + 1]; one.len() + 1];
    for at in (0..one.len()).rev() {
        for by in (0..other.len()).rev() {
            common[at][by] = match one[at] == other[by] {
                true => common[at + 1][by + 1] + 1,
                false => common[at + 1][by].max(common[at][by + 1]),
            };
        }
    }
    let (mut at, mut by) = (0, 0);
    let mut lines: Vec<(char, &str)> = Vec::new();
    while at < one.len() || by < other.len() {
        if at < one.len() && by < other.len() && one[at] == other[by] {
            lines.push((' ', &one[at]));
            (at, by) = (at + 1, by + 1);
        } else if by == other.len() || at < one.len() && common[at + 1][by] >= common[at][by + 1] {
            lines.push(('-', &one[at]));
            at += 1;
        } else {
            lines.push(('+', &other[by]));
            by += 1;
        }
    }
    lines
}

#[test]
fn a_difference_is_shown_with_what_is_around_it() {
    let lines = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
    let one = lines("a b c d e f g h i j k");
    assert_eq!(between(&one, &one), None);
    let shown = between(&one, &lines("a b c d e f g x i j k")).unwrap();
    assert_eq!(shown, "  d\n  e\n  f\n  g\n- h\n+ x\n  i\n  j\n  k\n");
    let shown = between(&one, &lines("b c d e f g h i j k l")).unwrap();
    assert_eq!(
        shown,
        "- a\n  b\n  c\n  d\n  e\n  …\n  h\n  i\n  j\n  k\n+ l\n"
    );
    assert_eq!(between(&[], &lines("x")).as_deref(), Some("+ x\n"));
    let many = between(&[], &lines(&"x ".repeat(200))).unwrap();
    assert_eq!(many.lines().count(), MOST + 1);
    assert!(many.ends_with("and so on\n"));
}
