//! The examples of the guide do what it says.

use super::*;

/// The content of a fenced block with this after its backticks.
fn block<'a>(page: &'a str, name: &str) -> Option<&'a str> {
    let (_, after) = page.split_once(&format!("```{name}\n"))?;
    after.split_once("```").map(|(block, _)| block)
}

#[tokio::test]
async fn every_page_has_an_example_that_holds() {
    let kinds = ["filter", "map", "convert", "columns", "dedupe", "jq"];
    for name in kinds {
        let file = guide_folder().join(format!("{name}.md"));
        let page =
            std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let spec: Value =
            serde_saphyr::from_str(block(&page, "yaml spec").expect("a spec")).unwrap();
        let mut lines = block(&page, "ndjson input").expect("an input").to_owned();
        let mut rejected = Vec::new();
        for stage in spec["transforms"].as_array().unwrap() {
            let mut options = stage.as_object().unwrap().clone();
            let kind = options.remove("type").unwrap();
            let (out, rejects) = run(kind.as_str().unwrap(), &options.into(), &lines).await;
            lines = out;
            rejected.extend(rejects.into_iter().filter(|reject| !reject.ends_with(": ")));
        }
        assert_eq!(
            lines,
            block(&page, "ndjson output").expect("an output"),
            "{name}"
        );
        let told: Vec<&str> = block(&page, "text rejected")
            .unwrap_or_default()
            .lines()
            .collect();
        assert_eq!(rejected, told, "{name}");
        let options = kind(name).described().options;
        for option in options["properties"].as_object().unwrap().keys() {
            assert!(
                page.contains(&format!("| `{option}` |")),
                "{name}: the page does not say what {option} is"
            );
        }
    }
}
