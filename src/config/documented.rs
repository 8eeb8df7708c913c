//! The documentation of the settings, held against them.

/// docs/configuration.md names every field by its full name, and no other.
#[test]
fn the_documentation_knows_every_setting() {
    let docs = include_str!("../../docs/configuration.md");
    let mut section = String::new();
    let mut known = Vec::new();
    for line in include_str!("sections.rs").lines() {
        let field = line
            .strip_prefix("    pub ")
            .and_then(|rest| rest.split_once(": "));
        if let Some(name) = line.strip_prefix("pub struct ") {
            section = name.trim_end_matches(" {").to_lowercase();
        } else if let Some((field, kind)) = field.filter(|(f, _)| !f.contains(' ')) {
            let is_section = kind.trim_end_matches(',').to_lowercase() == field;
            match section.as_str() {
                "config" if is_section && field != "issuer" => {}
                "config" => known.push(field.to_owned()),
                section => known.push(format!("{section}.{field}")),
            }
        }
    }
    assert!(known.len() > 40, "{known:?}");
    for setting in &known {
        assert!(
            docs.contains(&format!("| `{setting}` |")),
            "{setting} is not documented"
        );
    }
    for row in docs
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
    {
        assert!(
            known.iter().any(|setting| setting == row),
            "{row} is documented and does not exist"
        );
    }
}
