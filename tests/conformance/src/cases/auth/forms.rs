//! How auth may be written, and how not.

use super::{control, digits, header, refuses, takes};
use crate::bench::Bench;
use crate::case::{Case, Judged, Stop, case};

pub(super) fn cases() -> Vec<Case> {
    FORMS.iter().map(Form::case).collect()
}

/// A way to write a hash: which of them, and what becomes of it.
struct Form {
    name: &'static str,
    what: &'static str,
    /// How many zero digits the hash begins with.
    zeros: u32,
    written: fn(&str) -> String,
    accepted: bool,
}

/// A form of the right value.
const fn good(
    name: &'static str,
    what: &'static str,
    zeros: u32,
    written: fn(&str) -> String,
) -> Form {
    Form {
        name,
        what,
        zeros,
        written,
        accepted: true,
    }
}

/// A form that is none, or has another value.
const fn bad(
    name: &'static str,
    what: &'static str,
    zeros: u32,
    written: fn(&str) -> String,
) -> Form {
    Form {
        name,
        what,
        zeros,
        written,
        accepted: false,
    }
}

/// Forms of the hash, as 16 lower-case digits.
static FORMS: &[Form] = &[
    good("A1.3/lower", "16 lower-case digits", 0, |hash| hash.into()),
    good("A1.3/upper", "upper-case digits", 0, |hash| {
        hash.to_ascii_uppercase()
    }),
    good("A1.3/mixed", "digits of either case", 0, mixed),
    good("A1.3/leading-zero", "a leading zero written", 1, |hash| {
        hash.into()
    }),
    good(
        "A1.3/short",
        "15 digits, a leading zero left out",
        1,
        |hash| hash[1..].into(),
    ),
    good(
        "A1.3/short-upper",
        "15 upper-case digits, a leading zero left out",
        1,
        |hash| hash[1..].to_ascii_uppercase(),
    ),
    good(
        "A1.3/some-zeros",
        "15 digits, of three leading zeros one left out",
        3,
        |hash| hash[1..].into(),
    ),
    good(
        "A1.3/shorter",
        "12 digits, four leading zeros left out",
        4,
        |hash| hash[4..].into(),
    ),
    bad(
        "A1.3/end-left-out",
        "15 digits, the last left out: another value",
        1,
        |hash| hash[..15].into(),
    ),
    bad("A1.4/empty", "the empty string", 0, |_| String::new()),
    bad("A1.4/plus", "a plus sign", 1, |hash| {
        format!("+{}", &hash[1..])
    }),
    bad("A1.4/minus", "a minus sign", 1, |hash| {
        format!("-{}", &hash[1..])
    }),
    bad("A1.4/prefix", "a prefix, 16 characters in all", 2, |hash| {
        format!("0x{}", &hash[2..])
    }),
    bad(
        "A1.4/prefix-whole",
        "a prefix before 16 digits",
        0,
        |hash| format!("0x{hash}"),
    ),
    bad("A1.4/space-before", "a space before it", 0, |hash| {
        format!(" {hash}")
    }),
    bad(
        "A1.4/space-before-short",
        "a space in place of a leading zero",
        1,
        |hash| format!(" {}", &hash[1..]),
    ),
    bad("A1.4/space-after", "a space after it", 0, |hash| {
        format!("{hash} ")
    }),
    bad("A1.4/line-feed", "a line feed after it", 0, |hash| {
        format!("{hash}\n")
    }),
    bad("A1.4/inside", "a space inside", 0, |hash| {
        format!("{} {}", &hash[..8], &hash[8..])
    }),
    bad("A1.4/underscore", "an underscore inside", 1, |hash| {
        format!("{}_{}", &hash[1..8], &hash[8..])
    }),
    bad(
        "A1.4/letter",
        "a letter that is no digit behind 15 that are right",
        1,
        |hash| format!("{}g", &hash[1..]),
    ),
    bad(
        "A1.4/17-digits",
        "17 digits, one more at the end",
        0,
        |hash| format!("{hash}0"),
    ),
    bad(
        "A1.4/17-digits-right",
        "17 digits, the value is right",
        0,
        |hash| format!("0{hash}"),
    ),
    bad("A1.4/fullwidth", "digits that are not ASCII", 0, fullwidth),
    bad("A1.4/nul", "U+0000 after it", 0, |hash| format!("{hash}\0")),
    bad("A1.4/no-digit", "no digit at all", 0, |_| "\u{fffd}".into()),
    bad("A1.4/words", "words", 0, |_| "not hexadecimal".into()),
];

fn mixed(hash: &str) -> String {
    let digit = |(at, digit): (usize, char)| match at % 2 {
        0 => digit.to_ascii_uppercase(),
        _ => digit,
    };
    hash.chars().enumerate().map(digit).collect()
}

fn fullwidth(hash: &str) -> String {
    // From U+FF01 the characters of ASCII stand again, in their order.
    let wide = |digit: char| char::from_u32(u32::from(digit) - 0x21 + 0xff01).unwrap_or(digit);
    hash.chars().map(wide).collect()
}

impl Form {
    fn case(&'static self) -> Case {
        let verdict = if self.accepted { "accepted" } else { "refused" };
        let title = format!("auth is {verdict}: {}", self.what);
        case(self.name, title, |bench| self.run(bench)).connections(2)
    }

    fn run(&self, bench: &mut Bench) -> Judged {
        let channel = bench.channel.clone();
        let Some((uid, hash)) = self.pair(bench, &channel) else {
            let why = "no hash with so many leading zeros was found";
            return Err(Stop::Inconclusive(why.into()));
        };
        let auth = (self.written)(&digits(hash));
        let header = header(&uid, &channel, Some(&auth));
        if self.accepted {
            return takes(bench, &uid, &channel, &header);
        }
        control(bench)?;
        refuses(bench, &header, &format!("auth {auth:?} ({})", self.what))
    }

    /// A uid whose hash begins with as many zero digits as this wants, and no more than those.
    fn pair(&self, bench: &Bench, channel: &str) -> Option<(String, u64)> {
        (0..1 << 22).find_map(|number| {
            let uid = format!("alice {number}");
            let hash = bench.target().hash(&uid, channel);
            let zeros = hash.leading_zeros() / 4;
            // Letters show whether case counts; `mixed` leaves every other one as it is.
            let digits = digits(hash);
            let is_letter = |at: usize| digits.as_bytes()[at].is_ascii_alphabetic();
            let letters = (0..16).step_by(2).any(is_letter) && (1..16).step_by(2).any(is_letter);
            (zeros == self.zeros && letters).then_some((uid, hash))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_full_width_are_digits() {
        assert_eq!(fullwidth("0a"), "\u{ff10}\u{ff41}");
        assert_eq!(mixed("abcd"), "AbCd");
    }
}
