//! Label and field selectors of list lookups, in kubectl's syntax.

use serde_json::Value;

/// Whether an object's labels match a selector; an invalid selector is an error.
pub(crate) fn labels_match(object: &Value, selector: Option<&str>) -> Result<bool, String> {
    let Some(selector) = selector else { return Ok(true) };
    for requirement in split_outside_parentheses(selector) {
        if !requirement_matches(object, requirement.trim())? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether an object's name and namespace match a field selector. Only these two fields are common to all
/// kinds.
pub(crate) fn fields_match(object: &Value, selector: Option<&str>) -> Result<bool, String> {
    let Some(selector) = selector else { return Ok(true) };
    for requirement in selector.split(',').map(str::trim).filter(|requirement| !requirement.is_empty()) {
        let (field, wanted, equal) = if let Some((field, value)) = requirement.split_once("!=") {
            (field, value, false)
        } else if let Some((field, value)) = requirement.split_once('=') {
            (field, value.strip_prefix('=').unwrap_or(value), true)
        } else {
            return Err(format!("invalid field selector {requirement:?}"));
        };
        let actual = match field.trim() {
            "metadata.name" => object.pointer("/metadata/name"),
            "metadata.namespace" => object.pointer("/metadata/namespace"),
            other => return Err(format!("field label not supported: {other}")),
        };
        if (actual.and_then(Value::as_str).unwrap_or_default() == wanted.trim()) != equal {
            return Ok(false);
        }
    }
    Ok(true)
}

fn split_outside_parentheses(selector: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    let parts = selector.split(move |character| {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        character == ',' && depth == 0
    });
    parts.filter(|part| !part.trim().is_empty()).collect()
}

fn requirement_matches(object: &Value, requirement: &str) -> Result<bool, String> {
    let label =
        |key: &str| object.pointer("/metadata/labels").and_then(|labels| labels.get(key.trim())?.as_str());
    if let Some((key, value)) = requirement.split_once("!=") {
        return Ok(label(key) != Some(value.trim()));
    }
    if let Some((key, value)) = requirement.split_once('=') {
        return Ok(label(key) == Some(value.strip_prefix('=').unwrap_or(value).trim()));
    }
    if let Some((head, values)) = requirement.split_once('(') {
        let values =
            values.strip_suffix(')').ok_or_else(|| format!("unclosed parenthesis in {requirement:?}"))?;
        let mut words = head.split_whitespace();
        let (Some(key), Some(operator), None) = (words.next(), words.next(), words.next()) else {
            return Err(format!("invalid label selector {requirement:?}"));
        };
        let listed = label(key).is_some_and(|value| values.split(',').any(|wanted| wanted.trim() == value));
        return match operator {
            "in" => Ok(listed),
            "notin" => Ok(!listed),
            other => Err(format!("unknown operator {other:?} in {requirement:?}")),
        };
    }
    Ok(match requirement.strip_prefix('!') {
        Some(key) => label(key).is_none(),
        None => label(requirement).is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case::none("", Ok(true))]
    #[case::equal("app=web", Ok(true))]
    #[case::double_equal("app == web", Ok(true))]
    #[case::different("app!=web", Ok(false))]
    #[case::absent_is_different("x!=y", Ok(true))]
    #[case::exists("tier", Ok(true))]
    #[case::not_exists("!tier", Ok(false))]
    #[case::within("app in (db, web)", Ok(true))]
    #[case::without("app notin (db, web)", Ok(false))]
    #[case::absent_is_without("x notin (y)", Ok(true))]
    #[case::all_must_match("app in (web,db),tier=back", Ok(false))]
    #[case::unknown_operator("app of (web)", Err(()))]
    #[case::unclosed("app in (web", Err(()))]
    fn labels(#[case] selector: &str, #[case] expected: Result<bool, ()>) {
        let object = json!({"metadata": {"labels": {"app": "web", "tier": "front"}}});
        assert_eq!(labels_match(&object, Some(selector)).map_err(drop), expected);
    }

    #[rstest]
    #[case::name("metadata.name=a", Ok(true))]
    #[case::not_name("metadata.name!=a", Ok(false))]
    #[case::both("metadata.name==a,metadata.namespace=ns", Ok(true))]
    #[case::other_field("spec.x=1", Err(()))]
    #[case::no_operator("metadata.name", Err(()))]
    fn fields(#[case] selector: &str, #[case] expected: Result<bool, ()>) {
        let object = json!({"metadata": {"name": "a", "namespace": "ns"}});
        assert_eq!(fields_match(&object, Some(selector)).map_err(drop), expected);
    }
}
