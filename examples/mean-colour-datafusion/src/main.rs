//! The mean colour of each label's images, by DataFusion, each of whose threads reads parts of its own.
//!
//!     cd examples/mean-colour-datafusion && cargo run -- s3://bucket/cifar [--json]
//!
//! The store is `s3://bucket/prefix` (keys, region and endpoint come from the environment), `object:DIR` or a folder.

mod functions;
mod store;
mod table;

use std::process::ExitCode;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::{Int64Type, UInt64Type};
use datafusion::error::{DataFusionError, Result};
use datafusion::prelude::{SessionConfig, SessionContext};
use serde_json::json;
use store::{Manifest, Place};

/// `channel_sums` is null for images that have no colour.
const COLOURS: &str = "
    WITH coloured AS (
        SELECT label, channel_sums(sample_type, channels, encoding, payload) AS sums
        FROM images
        WHERE NOT is_removed(first + id_offset)
    )
    SELECT label,
        count(*) AS all_images,
        count(sums) AS images,
        sum(get_field(sums, 'pixels')) AS pixels,
        sum(get_field(sums, 'red')) AS red,
        sum(get_field(sums, 'green')) AS green,
        sum(get_field(sums, 'blue')) AS blue
    FROM coloured
    GROUP BY label
    ORDER BY label NULLS FIRST";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let json = arguments.iter().any(|argument| argument == "--json");
    let Some(url) = arguments.iter().find(|argument| *argument != "--json") else {
        eprintln!("usage: mean-colour-datafusion STORE [--json]");
        return ExitCode::from(2);
    };
    match print_colours(url, json).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn print_colours(url: &str, json: bool) -> Result<()> {
    let place = Place::new(url)?;
    let manifest = Manifest::newest(&place).await?;
    if let Some(part) = manifest.parts.iter().find(|part| part.kind != "payloads") {
        let message = format!("image {} is in {}, which this example does not read", part.first, part.kind);
        return Err(DataFusionError::NotImplemented(message));
    }

    // Else each field of `sums` would be computed by itself, next to the scan: of removed images, too.
    let mut config = SessionConfig::new();
    config.options_mut().optimizer.enable_leaf_expression_pushdown = false;
    let context = SessionContext::new_with_config(config);
    context.register_object_store(place.url.as_ref(), Arc::clone(&place.objects));
    context.register_table("images", Arc::new(table::Images::new(&place, &manifest.parts)))?;
    context.register_udf(functions::is_removed(manifest.removed));
    context.register_udf(functions::channel_sums());

    if !json {
        println!("{:>6}  {:<16} {:>9}  {:>6}  {:>6}  {:>6}", "label", "name", "images", "R", "G", "B");
    }
    let mut left_out = 0;
    for batch in context.sql(COLOURS).await?.collect().await? {
        let signed = |column: usize| batch.column(column).as_primitive::<Int64Type>();
        let (labels, all_images, images) = (signed(0), signed(1), signed(2));
        for row in 0..batch.num_rows() {
            let images = images.value(row);
            left_out += all_images.value(row) - images;
            if images == 0 {
                continue;
            }
            let label = labels.is_valid(row).then(|| labels.value(row));
            let name = label.and_then(|label| manifest.label_names.get(usize::try_from(label).ok()?));
            let sum = |column: usize| batch.column(column).as_primitive::<UInt64Type>().value(row);
            let (pixels, sums) = (sum(3), [sum(4), sum(5), sum(6)]);
            let [red, green, blue] = sums.map(|sum| sum as f64 / pixels as f64);
            if json {
                let mean = [red, green, blue];
                let row = json!({"label": label, "name": name, "images": images, "pixels": pixels, "sums": sums,
                    "mean": mean});
                println!("{row}");
            } else {
                let label = label.map_or_else(|| "-".to_owned(), |label| label.to_string());
                let name = name.map_or("-", String::as_str);
                println!("{label:>6}  {name:<16} {images:>9}  {red:>6.2}  {green:>6.2}  {blue:>6.2}");
            }
        }
    }
    if left_out > 0 {
        eprintln!("left out: {left_out} images that are neither grey nor RGB of 8 bits");
    }
    Ok(())
}
