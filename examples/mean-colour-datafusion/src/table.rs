//! The parts of a store as one table of DataFusion.
//!
//! A `ListingTable` would take all files of a folder, those too that no manifest names. Here the manifest says which
//! files there are and how long they are, so that nothing is listed or asked for before the parts themselves are read.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{ArrowSource, FileGroup, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::scalar::ScalarValue;

use crate::store::{Part, Place};

/// All images in parts, removed ones too: a part's columns, and `first`, the id of the part's first image.
#[derive(Debug)]
pub struct Images {
    objects: ObjectStoreUrl,
    files: Vec<PartitionedFile>,
    schema: TableSchema,
}

impl Images {
    pub fn new(place: &Place, parts: &[Part]) -> Self {
        let file = |part: &Part| {
            // The same for all rows of the file, as the value of a partition is.
            let first = ScalarValue::UInt64(Some(part.first));
            let mut file = PartitionedFile::new("", part.file_bytes).with_partition_values(vec![first]);
            file.object_meta.location = place.part(part.part);
            file
        };
        let first = Arc::new(Field::new("first", DataType::UInt64, false));
        let schema = TableSchema::builder(Arc::new(columns())).with_table_partition_cols(vec![first]).build();
        Images { objects: place.url.clone(), files: parts.iter().map(file).collect(), schema }
    }
}

#[async_trait]
impl TableProvider for Images {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.schema.table_schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // Whole parts to each partition of the plan, which is what one thread works on: a part is one record batch.
        let groups = FileGroup::new(self.files.clone()).split_files(state.config().target_partitions());
        let source = Arc::new(ArrowSource::new_file_source(self.schema.clone()));
        let scan = FileScanConfigBuilder::new(self.objects.clone(), source)
            .with_file_groups(groups)
            .with_projection_indices(projection.cloned())?
            .build();
        Ok(DataSourceExec::from_data_source(scan))
    }
}

/// The columns of a part, as FORMAT.md has them.
fn columns() -> Schema {
    let column = |name: &str, kind| Field::new(name, kind, false);
    let optional = |name: &str, kind| Field::new(name, kind, true);
    Schema::new(vec![
        column("id_offset", DataType::UInt64),
        optional("name", DataType::Utf8),
        column("height", DataType::UInt32),
        column("width", DataType::UInt32),
        column("channels", DataType::UInt16),
        column("sample_type", DataType::Utf8),
        column("encoding", DataType::Utf8),
        optional("label", DataType::Int64),
        optional("attributes", DataType::Utf8),
        column("payload_length", DataType::UInt64),
        column("checksum", DataType::UInt32),
        column("descriptor_checksum", DataType::UInt32),
        optional("name_hash", DataType::UInt64),
        optional("payload", DataType::LargeBinary),
    ])
}
