//! Leaves tables where `DELTA_SAMPLE_DIR` says, for other programs to read: `types` has one column of each type, `many`
//! has 60 commits and a checkpoint, `evolved` has older files that lack a column, `partitioned_*` are partitioned by a
//! column of that type, `types_quarantine` holds bad rows.

use connector_core::quarantine::quarantine_schema;

use super::quarantine::bad_rows;
use super::types::{every_row, every_type, values};
use super::*;

#[test]
fn sample_tables() {
    let Some(dir) = std::env::var_os("DELTA_SAMPLE_DIR").map(PathBuf::from) else {
        println!("not run: DELTA_SAMPLE_DIR is not set");
        return;
    };
    let bench = Bench::new();
    let place = |name: &str| DeltaTable::new(&dir.join(name), bench.runtime.handle().clone()).expect("a usable path");
    let types = place("types");
    bench.create(&types, &every_type()).expect("created");
    let files = write_all(&types, &every_type(), &every_row());
    bench.commit(&types, &bench.batch(1, files)).expect("committed");

    let many = place("many");
    bench.create(&many, &small_schema()).expect("created");
    for seq in 1..=60 {
        bench.append(&many, seq, seq * 100, seq * 100 + 100).expect("committed");
    }

    let evolved = place("evolved");
    bench.create(&evolved, &small_schema()).expect("created");
    bench.append(&evolved, 1, 0, 10).expect("committed");
    let mut wider = small_schema();
    let added: Vec<Column> =
        every_type().columns.into_iter().map(|column| Column { nullable: true, ..column }).collect();
    wider.columns.extend(added.clone());
    let mut columns = small_rows(10, 13).columns().to_vec();
    columns.extend(every_row().columns().iter().cloned());
    let rows = RecordBatch::try_new(wider.arrow(), columns).expect("rows");
    let commit = TableCommit { add_columns: added, ..bench.batch(2, write_all(&evolved, &wider, &rows)) };
    bench.commit(&evolved, &commit).expect("committed");

    for column in every_type().columns.into_iter().filter(|column| !matches!(column.ty, ColumnType::Array { .. })) {
        let table = place(&format!("partitioned_{}", column.name));
        let column = Column { name: "p".into(), nullable: true, ..column };
        let values = values(&column.ty.arrow(), true);
        let schema = TableSchema::new(vec![Column::nullable("n", ColumnType::Int64), column]);
        let schema = TableSchema { partition: Some("p".into()), ..schema };
        bench.create(&table, &schema).expect("created");
        let rows = vec![Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef, values];
        let files = write_all(&table, &schema, &RecordBatch::try_new(schema.arrow(), rows).expect("rows"));
        bench.commit(&table, &bench.batch(1, files)).expect("committed");
    }

    let quarantine = place("types_quarantine");
    let schema = quarantine_schema(&every_type());
    bench.create(&quarantine, &schema).expect("created");
    let files = write_all(&quarantine, &schema, &bad_rows(&every_type(), &[4, 9]));
    bench.commit(&quarantine, &bench.batch(7, files)).expect("committed");
    println!("app id: {}", bench.import.app_id());
}
