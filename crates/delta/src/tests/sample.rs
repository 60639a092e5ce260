//! Leaves tables where `DELTA_SAMPLE_DIR` says, for other programs to read: `types` has one column of each type,
//! `many` has 60 commits and a checkpoint.

use super::contract::every_type;
use super::data_files::every_row;
use super::*;

#[test]
fn sample_tables() {
    let Some(dir) = std::env::var_os("DELTA_SAMPLE_DIR").map(PathBuf::from) else {
        println!("not run: DELTA_SAMPLE_DIR is not set");
        return;
    };
    let bench = Bench::new();
    let handle = bench.runtime.handle().clone();
    let types = DeltaTable::new(&dir.join("types"), handle.clone()).expect("a usable path");
    bench.create(&types, &every_type()).expect("created");
    let mut writer = types.open_writer(&every_type()).expect("a writer");
    writer.write(&every_row(), &origin("every/type.csv"), &[0, 1, 2]).expect("written");
    let file = writer.finish().expect("finished").expect("rows");
    bench.commit(&types, &bench.batch(1, vec![file])).expect("committed");

    let many = DeltaTable::new(&dir.join("many"), handle).expect("a usable path");
    bench.create(&many, &small_schema()).expect("created");
    for seq in 1..=60 {
        bench.append(&many, seq, seq * 100, seq * 100 + 100).expect("committed");
    }
    println!("app id: {}", bench.import.app_id());
}
