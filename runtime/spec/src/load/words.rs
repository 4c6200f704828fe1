//! The YAML parser's messages in a person's words.

/// What is wrong, and what most often helps. A message that is not listed is passed on as it is.
pub(crate) fn explain(info: &str) -> (String, Option<&'static str>) {
    const INDENT: Option<&str> = Some("check the indentation: fields of one object start in the same column");
    const CLOSE: Option<&str> = Some("check that every bracket, brace and quote is closed");
    const RULES: &[(&str, &str, Option<&str>)] = &[
        ("tab", "a tab where YAML allows only spaces", Some("indent with spaces")),
        (
            "mapping values are not allowed",
            "a \":\" where no field can be",
            Some("check the indentation, and quote a value that contains \": \""),
        ),
        ("found unexpected end of stream", "the text ends inside a quoted string", CLOSE),
        ("unexpected eof", "the text ends too early", CLOSE),
        ("found unexpected document indicator", "a document ends inside a quoted string", CLOSE),
        ("flow mapping, did not find", "expected \",\" or \"}\" here", CLOSE),
        ("flow sequence, expected", "expected \",\" or \"]\" here", CLOSE),
        ("misplaced bracket", "a closing bracket or brace that nothing opened", CLOSE),
        ("indentation in quoted", "a line of a quoted string is not indented enough", INDENT),
        ("simple key", "expected \":\" after a field name", Some("a field is written as \"name: value\"")),
        ("block mapping, did not find expected key", "expected a field name here", INDENT),
        ("did not find expected '-'", "expected \"- \" here: a list element, or the list's end", INDENT),
        ("block sequence entries are not allowed", "a \"- \" where no list can be", INDENT),
        ("mapping keys are not allowed", "a \"? \" where no field can be", INDENT),
        ("wrongly indented line in block scalar", "a line of a block of text is not indented enough", INDENT),
        ("indentation", "wrong indentation", INDENT),
        (
            "unknown anchor",
            "an alias (*name) to an anchor (&name) that is not in this document",
            Some("quote it if it is text"),
        ),
        ("unexpected character", "a character that cannot start a value", Some("quote the value")),
        (
            "unknown escape",
            "an unknown escape in a double-quoted string",
            Some("write \\\\ for a backslash, or use single quotes"),
        ),
        (
            "escape code",
            "an invalid escape in a double-quoted string",
            Some("write \\\\ for a backslash, or use single quotes"),
        ),
        (
            "hexadecimal",
            "an escape in a double-quoted string lacks hexadecimal digits",
            Some("write \\\\ for a backslash, or use single quotes"),
        ),
        (
            "trailing content after double-quoted",
            "text after the end of a quoted string",
            Some("write \\\" for a quote inside double quotes"),
        ),
        (
            "anchor or alias",
            "\"*\" or \"&\" starts an alias or an anchor and needs a name",
            Some("quote the value if it is text"),
        ),
        ("did not find expected node content", "expected a value here", CLOSE),
        ("illegal placement of ':'", "a \":\" where no field can be", CLOSE),
        ("recursion limit", "nested too deep", None),
        ("did not find expected next token", "unexpected text", INDENT),
        ("document start", "text after the end of the document", INDENT),
        ("document-start", "text after the end of the document", INDENT),
    ];
    match RULES.iter().find(|(part, ..)| info.contains(part)) {
        Some((_, message, hint)) => (format!("not valid YAML: {message}"), *hint),
        None => (format!("not valid YAML: {info}"), None),
    }
}
