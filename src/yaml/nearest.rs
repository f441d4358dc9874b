//! The likely meaning of a misspelt word.

/// The candidate that `name` is most likely meant to be, if it is near enough to any.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = name.to_lowercase().chars().collect();
    let near = |candidate: &str| {
        let other: Vec<char> = candidate.to_lowercase().chars().collect();
        let allowed = (wanted.len().max(other.len()) / 3).max(1);
        let distance = distance(&wanted, &other);
        (distance <= allowed).then_some(distance)
    };
    candidates
        .into_iter()
        .filter_map(|candidate| Some((near(candidate)?, candidate)))
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many letters have to be put in, left out, changed or swapped with their neighbour.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut fewest = (last[j + 1] + 1)
                .min(row[j] + 1)
                .min(last[j] + usize::from(x != y));
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                fewest = fewest.min(before[j - 1] + 1);
            }
            row.push(fewest);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant_and_nothing_else() {
        let keys = [
            "namespace",
            "kind",
            "reason",
            "maxEventAgeSeconds",
            "routes",
        ];
        for (name, meant) in [
            ("Namespace", Some("namespace")),
            ("namesapce", Some("namespace")),
            ("kinds", Some("kind")),
            ("maxEventsAgeSeconds", Some("maxEventAgeSeconds")),
            ("route", Some("routes")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, keys), meant, "{name}");
        }
    }
}
