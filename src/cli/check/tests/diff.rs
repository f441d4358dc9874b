//! What differs between two texts, line by line.

/// Beyond this, where lines agree in the middle is not looked for.
const MAX_PAIRS: usize = 1 << 20;

/// The lines of both: those that agree behind a space, those of `expected` alone behind `-`, those of `came` alone behind `+`.
/// Empty if the texts are the same.
pub(super) fn lines(expected: &str, came: &str) -> Vec<String> {
    if expected == came {
        return Vec::new();
    }
    let (old, new): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), came.lines().collect());
    let common = common(&old, &new);
    let (mut a, mut b) = (0, 0);
    let mut lines = Vec::new();
    while a < old.len() || b < new.len() {
        // With equal lines, to take them is never worse than to leave them.
        if a < old.len() && b < new.len() && old[a] == new[b] {
            lines.push(format!(" {}", old[a]));
            (a, b) = (a + 1, b + 1);
        } else if a < old.len() && (b == new.len() || common(a + 1, b) >= common(a, b + 1)) {
            lines.push(format!("-{}", old[a]));
            a += 1;
        } else {
            lines.push(format!("+{}", new[b]));
            b += 1;
        }
    }
    lines
}

/// How many lines the rest of both can have in common, from a line of each.
fn common(old: &[&str], new: &[&str]) -> impl Fn(usize, usize) -> u32 {
    let width = new.len() + 1;
    let cells = (old.len() + 1).saturating_mul(width);
    let mut lengths = vec![0; if cells > MAX_PAIRS { 0 } else { cells }];
    if !lengths.is_empty() {
        for a in (0..old.len()).rev() {
            for b in (0..new.len()).rev() {
                lengths[a * width + b] = if old[a] == new[b] {
                    lengths[(a + 1) * width + b + 1] + 1
                } else {
                    lengths[(a + 1) * width + b].max(lengths[a * width + b + 1])
                };
            }
        }
    }
    move |a, b| lengths.get(a * width + b).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_kept_taken_out_and_added() {
        let nothing: [&str; 0] = [];
        assert_eq!(lines("a\nb", "a\nb"), nothing);
        assert_eq!(
            lines("a\nb\nc\nd", "a\nc\nx\nd"),
            [" a", "-b", " c", "+x", " d"]
        );
        assert_eq!(lines("", "a"), ["+a"]);
        assert_eq!(lines("a\nb", ""), ["-a", "-b"]);
    }

    #[test]
    fn long_texts_are_compared_without_a_table() {
        let old = (0..2000).fold(String::new(), |text, at| text + &format!("a{at}\n"));
        let new = old.replace("a0\n", "b\n");
        let all = lines(&old, &new);
        assert!(all.contains(&"-a0".to_owned()) && all.contains(&"+b".to_owned()));
    }
}
