//! "Did you mean": the known name nearest to an unknown one.

/// The candidate nearest to `word`, when one is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Distances grow with the product of the lengths, and nothing this long is a slip of the pen.
    if word.len() > 64 {
        return None;
    }
    let lower = word.to_lowercase();
    let most = (word.chars().count() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .map(|candidate| {
            let candidate_lower = candidate.to_lowercase();
            let distance = if is_plural_of(&lower, &candidate_lower) {
                0
            } else {
                strsim::damerau_levenshtein(&lower, &candidate_lower)
            };
            (distance, candidate)
        })
        .filter(|(distance, candidate)| *distance <= most && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn is_plural_of(a: &str, b: &str) -> bool {
    a.strip_suffix('s') == Some(b) || b.strip_suffix('s') == Some(a)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_of_the_pen_are_recognised() {
        let fields = ["image", "imagePullPolicy", "command", "args", "env", "envFrom", "ports", "name"];
        for (word, meant) in [
            ("imagePulPolicy", Some("imagePullPolicy")),
            ("imagepullpolicy", Some("imagePullPolicy")),
            ("arg", Some("args")),
            ("port", Some("ports")),
            ("cmd", None),
            ("Name", Some("name")),
            ("x", None),
            ("somethingElse", None),
        ] {
            assert_eq!(nearest(word, fields), meant, "{word}");
        }
    }
}
