//! What SQL does not have: whether an id was removed, and what the pixels of a payload add up to.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StructArray, UInt64Array};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{DataType, Field, Fields, UInt16Type, UInt64Type};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};

/// `is_removed(id)`: whether it lies in one of the intervals, which ascend.
pub fn is_removed(intervals: Vec<(u64, u64)>) -> ScalarUDF {
    let is_in = move |id: u64| {
        let after = intervals.partition_point(|&(first, _)| first <= id);
        after.checked_sub(1).is_some_and(|interval| id <= intervals[interval].1)
    };
    let function = move |arguments: &[ColumnarValue]| {
        let ids = ColumnarValue::values_to_arrays(arguments)?;
        let found: BooleanArray =
            ids[0].as_primitive::<UInt64Type>().values().iter().map(|&id| Some(is_in(id))).collect();
        Ok(ColumnarValue::Array(Arc::new(found)))
    };
    create_udf("is_removed", vec![DataType::UInt64], DataType::Boolean, Volatility::Immutable, Arc::new(function))
}

/// `channel_sums(sample_type, channels, encoding, payload)`: how many pixels an image has, and the sums of their red,
/// green and blue; null where it is neither grey nor RGB of 8 bits.
pub fn channel_sums() -> ScalarUDF {
    let fields: Fields =
        ["pixels", "red", "green", "blue"].map(|name| Field::new(name, DataType::UInt64, true)).into_iter().collect();
    let returned = DataType::Struct(fields.clone());
    let function = move |arguments: &[ColumnarValue]| {
        let columns = ColumnarValue::values_to_arrays(arguments)?;
        let (sample_types, channels) = (columns[0].as_string::<i32>(), columns[1].as_primitive::<UInt16Type>());
        let (encodings, payloads) = (columns[2].as_string::<i32>(), columns[3].as_binary::<i64>());
        let has_colour = |row: usize| sample_types.value(row) == "u8" && matches!(channels.value(row), 1 | 3);
        let mut sums: [Vec<u64>; 4] = Default::default();
        for row in 0..payloads.len() {
            let of_image = match has_colour(row) {
                true => sums_of(channels.value(row), encodings.value(row), payloads.value(row))?,
                false => [0; 4],
            };
            sums.iter_mut().zip(of_image).for_each(|(column, sum)| column.push(sum));
        }
        let sums = sums.map(|column| Arc::new(UInt64Array::from(column)) as ArrayRef);
        let there: NullBuffer = (0..payloads.len()).map(has_colour).collect();
        Ok(ColumnarValue::Array(Arc::new(StructArray::new(fields.clone(), sums.to_vec(), Some(there)))))
    };
    let types = vec![DataType::Utf8, DataType::UInt16, DataType::Utf8, DataType::LargeBinary];
    create_udf("channel_sums", types, returned, Volatility::Immutable, Arc::new(function))
}

fn sums_of(channels: u16, encoding: &str, payload: &[u8]) -> Result<[u64; 4]> {
    let decoded;
    let samples = match encoding.split_once(':') {
        // In whichever order their layout has them.
        Some(("raw", _)) => payload,
        None if encoding == "png" => {
            decoded = decode(channels, payload)?;
            &decoded
        }
        Some(("kept", _)) => {
            decoded = decode(channels, payload)?;
            &decoded
        }
        _ => {
            let message = format!("an image is {encoding}: what is linked lies outside of the store");
            return Err(DataFusionError::NotImplemented(message));
        }
    };
    let mut sums = [0; 3];
    for pixel in samples.chunks_exact(usize::from(channels)) {
        // Grey counts as red, green and blue.
        for (sum, &sample) in sums.iter_mut().zip(pixel.iter().cycle()) {
            *sum += u64::from(sample);
        }
    }
    let [red, green, blue] = sums;
    Ok([(samples.len() / usize::from(channels)) as u64, red, green, blue])
}

fn decode(channels: u16, file: &[u8]) -> Result<Vec<u8>> {
    let image = image::load_from_memory(file).map_err(|error| DataFusionError::External(error.into()))?;
    Ok(if channels == 1 { image.into_luma8().into_raw() } else { image.into_rgb8().into_raw() })
}
