//! Archives made into Parquet: what they hold is read as if it were unpacked, and what cannot be read is told by name.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use flate2::Compression;
use flate2::write::GzEncoder;
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

use crate::dataset;
use crate::import::{batches, class_folders, features, parquet, pictures};
use crate::workplace::Workplace;

/// Names and bytes of all files below a folder.
fn files_below(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => open.push(path),
                false => {
                    let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                    found.push((name, fs::read(&path).unwrap()));
                }
            }
        }
    }
    found.sort();
    found
}

fn write_tar(to: impl Write, files: &[(String, Vec<u8>)]) {
    let mut tar = tar::Builder::new(to);
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    tar.into_inner().unwrap().flush().unwrap();
}

fn write_zip(path: &Path, files: &[(String, Vec<u8>)], method: CompressionMethod) {
    let mut zip = zip::ZipWriter::new(File::create(path).unwrap());
    for (name, bytes) in files {
        zip.start_file(name.as_str(), SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
}

fn left_out(report: &serde_json::Value) -> BTreeMap<String, String> {
    let first = report["left_out"]["first"].as_array().unwrap().iter();
    first.map(|one| (one["name"].as_str().unwrap().to_owned(), one["reason"].as_str().unwrap().to_owned())).collect()
}

#[test]
fn archives_are_read_as_the_folders_that_they_hold() {
    let place = Workplace::bare();
    class_folders(&place, "set", 0, 24);
    let files = files_below(&place.path("set"));
    write_zip(&place.path("deflated.zip"), &files, CompressionMethod::Deflated);
    write_zip(&place.path("stored.zip"), &files, CompressionMethod::Stored);
    write_tar(File::create(place.path("plain.tar")).unwrap(), &files);
    write_tar(GzEncoder::new(File::create(place.path("packed.tar.gz")).unwrap(), Compression::fast()), &files);
    let run = |source: &str, folder: &str| {
        let arguments = ["import", source, "-o", folder, "--name", "set", "--split", "test=0.25", "--json"];
        let report = place.run(&arguments).json();
        assert_eq!((&report["rows"], &report["read_as"]), (&24.into(), &"class_folders".into()), "{source}");
        let names = parquet(&place.path(folder));
        assert_eq!(names, ["set-test-00000-of-00001.parquet", "set-train-00000-of-00001.parquet"], "{source}");
        names.map_to_bytes(&place, folder)
    };
    let of_folder = run("set", "from-folder");
    for source in ["deflated.zip", "stored.zip", "plain.tar", "packed.tar.gz"] {
        assert!(run(source, &format!("from-{source}")) == of_folder, "{source} gives other files");
    }
    // a folder of archives is one source, and archives may be called by what they are for
    fs::create_dir(place.path("two")).unwrap();
    write_zip(&place.path("two/train.zip"), &files, CompressionMethod::Deflated);
    class_folders(&place, "other", 40, 6);
    write_zip(&place.path("two/val.zip"), &files_below(&place.path("other")), CompressionMethod::Deflated);
    let report = place.run(&["import", "two", "-o", "both", "--json"]).json();
    assert_eq!((&report["rows"], &report["splits"][1]["split"]), (&30.into(), &"validation".into()), "{report}");
    assert_eq!(report["classes"], serde_json::json!(["blue", "green", "red"]));
}

trait Contents {
    fn map_to_bytes(&self, place: &Workplace, folder: &str) -> Vec<Vec<u8>>;
}

impl Contents for Vec<String> {
    fn map_to_bytes(&self, place: &Workplace, folder: &str) -> Vec<Vec<u8>> {
        self.iter().map(|name| place.read(&format!("{folder}/{name}"))).collect()
    }
}

#[test]
fn a_table_in_an_archive_is_read_with_its_images() {
    let place = Workplace::bare();
    class_folders(&place, "set/images", 0, 6);
    let mut files = files_below(&place.path("set"));
    let table = "file_name,kind\nimages/red/000.png,warm\nimages/green/001.png,cold\nimages/gone.png,cold\n";
    files.push(("metadata.csv".into(), table.into()));
    write_zip(&place.path("set.zip"), &files, CompressionMethod::Deflated);
    write_tar(File::create(place.path("set.tar")).unwrap(), &files);
    for source in ["set.zip", "set.tar"] {
        let folder = format!("from-{source}");
        let report = place.run(&["import", source, "-o", &folder, "--label", "kind", "--json"]).json();
        assert_eq!((&report["rows"], &report["read_as"]), (&2.into(), &"metadata".into()), "{report}");
        assert_eq!(left_out(&report)["metadata.csv:4"], "there is no file `images/gone.png`");
        assert_eq!(pictures(&place.path(&format!("{folder}/set-train-00000-of-00001.parquet"))).len(), 2);
    }
}

#[test]
fn samples_of_several_shards_have_classes_texts_and_values() {
    let place = Workplace::bare();
    for shard in 0..3 {
        let mut files = Vec::new();
        for (at, row) in dataset::rows(shard * 4, 4).into_iter().enumerate() {
            let key = format!("{at:06}");
            files.push((format!("{key}.png"), row.image.unwrap()));
            files.push((format!("{key}.cls"), row.label.to_string().into_bytes()));
            files.push((format!("{key}.txt"), format!("picture {at} of {shard}\n").into_bytes()));
            files.push((format!("{key}.json"), format!("{{\"width\": 20, \"from\": \"shard {shard}\"}}").into_bytes()));
        }
        files.push(("000099.json".into(), b"{}".to_vec()));
        files.push(("000000.npy".into(), b"x".to_vec()));
        write_tar(File::create(place.path(&format!("shard-{shard:03}.tar"))).unwrap(), &files);
    }
    let report = place.run(&["import", "shard-{000..002}.tar", "-o", "data", "--split", "test=0.25", "--json"]).json();
    assert_eq!((&report["rows"], &report["read_as"]), (&12.into(), &"webdataset".into()), "{report}");
    assert_eq!(report["classes"], serde_json::json!(["0", "1", "2"]));
    let told = left_out(&report);
    assert_eq!(told["shard-001/000099.json"], "there is no image of its name");
    assert!(told["shard-002/000000.npy"].contains("kind that is not read"));
    let files = parquet(&place.path("data"));
    assert_eq!(files, ["shard-test-00000-of-00001.parquet", "shard-train-00000-of-00001.parquet"]);
    let mut rows = BTreeMap::new();
    for file in &files {
        let batch = batches(&place.path(&format!("data/{file}"))).remove(0);
        for row in 0..batch.num_rows() {
            let text = |column: &str| batch[column].as_string::<i32>().value(row).to_owned();
            let label = batch["label"].as_primitive::<Int64Type>().value(row);
            rows.insert(text("__key__"), (label, text("text"), text("from")));
        }
        assert_eq!(batch["width"].as_primitive::<Int64Type>().null_count(), 0);
    }
    assert_eq!(rows["shard-001/000002"], (0, "picture 2 of 1".into(), "shard 1".into()));
    place.run(&["import", "shard-{000..004}.tar", "-o", "more"]).failed_with(&["shard-003.tar"]);
    place.run(&["import", "shard-*.tar", "-o", "stars"]).done();
    place.run(&["import", "no-*.tar", "-o", "none"]).failed_with(&["no such file"]);
}

#[test]
fn what_is_hostile_in_an_archive_is_told_by_its_name() {
    let place = Workplace::bare();
    class_folders(&place, "set", 0, 6);
    let files = files_below(&place.path("set"));
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in &files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    let (name, bytes) = &files[0];
    for written in ["../out.png", "/etc/passwd", "again"] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        let written = if written == "again" { name.as_str() } else { written };
        header.as_old_mut().name[..written.len()].copy_from_slice(written.as_bytes());
        header.set_cksum();
        tar.append(&header, bytes.as_slice()).unwrap();
    }
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    tar.append_link(&mut header, "red/link.png", "/etc/passwd").unwrap();
    let mut all = tar.into_inner().unwrap();
    fs::write(place.path("bad.tar"), &all).unwrap();
    let report = place.run(&["import", "bad.tar", "-o", "bad", "--json"]).json();
    let told = left_out(&report);
    assert_eq!(report["rows"], 6);
    assert!(told["../out.png"].contains("leads out") && told["/etc/passwd"].contains("leads out"), "{told:?}");
    assert!(told["red/link.png"].contains("a link") && told[name.as_str()].contains("a later member"), "{told:?}");

    // cut off within its first member, and damaged behind it
    fs::write(place.path("cut.tar"), &all[..512 + 40]).unwrap();
    place.run(&["import", "cut.tar", "-o", "cut"]).failed_with(&["the archive ends within it"]);
    let at = 512 + files[0].1.len().next_multiple_of(512);
    all[at..at + 100].fill(0xff);
    fs::write(place.path("broken.tar"), &all).unwrap();
    let report = place.run(&["import", "broken.tar", "-o", "broken", "--json"]).json();
    assert_eq!(report["rows"], 1);
    assert!(left_out(&report)["broken.tar"].contains("damaged behind 1 member"), "{report}");
    fs::write(place.path("no.tar"), [7; 2000]).unwrap();
    place.run(&["import", "no.tar", "-o", "no"]).failed_with(&["no.tar", "it is no tar archive"]);
    fs::write(place.path("x.tar.xz"), [7; 2000]).unwrap();
    place.run(&["import", "x.tar.xz", "-o", "no"]).failed_with(&["x.tar.xz", "packed by xz", "unpack it"]);
}

#[test]
fn a_long_name_without_end_in_a_tar_is_not_read_into_memory() {
    let place = Workplace::bare();
    class_folders(&place, "set", 0, 6);
    let files = files_below(&place.path("set"));
    let (last, before) = files.split_last().unwrap();
    let mut all = Vec::new();
    for length in [300, 2 << 20] {
        let mut tar = tar::Builder::new(Vec::new());
        let mut add = |kind: tar::EntryType, name: &str, bytes: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, name, bytes).unwrap();
        };
        for (name, bytes) in before {
            add(tar::EntryType::Regular, name, bytes);
        }
        let long = format!("{}/{}.png", "x".repeat(150), "y".repeat(length - 156));
        add(tar::EntryType::GNULongName, "long", format!("{long}\0").as_bytes());
        add(tar::EntryType::Regular, &last.0, &last.1);
        fs::write(place.path("long.tar"), tar.into_inner().unwrap()).unwrap();
        let folder = format!("from-{length}");
        let report = place.run(&["import", "long.tar", "-o", &folder, "--json"]).json();
        all.push((report["rows"].as_u64().unwrap(), left_out(&report).remove("long.tar").unwrap_or_default()));
    }
    assert_eq!(all[0], (6, String::new()));
    assert!(all[1].0 == 5 && all[1].1.contains("a header of more than a mebibyte"), "{all:?}");
}

#[test]
fn two_members_of_a_zip_with_one_name_do_not_stop_the_import() {
    let place = Workplace::bare();
    class_folders(&place, "set", 0, 6);
    let mut files = files_below(&place.path("set"));
    let again = (format!("./{}", files[0].0), files[1].1.clone());
    files.push(again);
    write_zip(&place.path("twice.zip"), &files, CompressionMethod::Deflated);
    let report = place.run(&["import", "twice.zip", "-o", "twice", "--json"]).json();
    assert_eq!(report["rows"], 6);
    assert_eq!(left_out(&report)[&files[0].0], "another member has the same name");
}

/// Where a header of a member begins.
fn places_of(bytes: &[u8], mark: &[u8; 4]) -> Vec<usize> {
    bytes.windows(4).enumerate().filter(|(_, four)| four == mark).map(|(at, _)| at).collect()
}

#[test]
fn zips_that_lie_are_told_by_their_members() {
    let place = Workplace::bare();
    class_folders(&place, "set", 0, 6);
    let mut files = files_below(&place.path("set"));
    files.push(("../out.png".into(), files[0].1.clone()));
    write_zip(&place.path("whole.zip"), &files, CompressionMethod::Deflated);
    let whole = place.read("whole.zip");
    let (local, central) = (places_of(&whole, b"PK\x03\x04"), places_of(&whole, b"PK\x01\x02"));
    assert_eq!((local.len(), central.len()), (7, 7));
    let mut bad = whole.clone();
    // the first is encrypted, the second packed otherwise, the third says another checksum, the fourth is the fifth again, and
    // what the sixth says that it becomes is not so
    bad[local[0] + 6] |= 1;
    bad[central[0] + 8] |= 1;
    bad[central[1] + 10] = 14;
    bad[central[2] + 16] ^= 0xff;
    let offset: [u8; 4] = whole[central[4] + 42..central[4] + 46].try_into().unwrap();
    bad[central[3] + 42..central[3] + 46].copy_from_slice(&offset);
    bad[central[3] + 16..central[3] + 28].copy_from_slice(&whole[central[4] + 16..central[4] + 28]);
    bad[central[5] + 24..central[5] + 28].copy_from_slice(&10_u32.to_le_bytes());
    fs::write(place.path("bad.zip"), &bad).unwrap();
    let report = place.run(&["import", "bad.zip", "-o", "bad", "--json"]).json();
    let told = left_out(&report);
    let reason = |at: usize| told.get(&files[at].0).map_or("", String::as_str);
    assert!(reason(0).contains("encrypted") && reason(1).contains("compressed by"), "{told:?}");
    assert!(reason(2).contains("not those that the archive says"), "{told:?}");
    assert!(reason(3).contains("shares its bytes") != reason(4).contains("shares its bytes"), "{told:?}");
    assert!(reason(5).contains("not those that the archive says"), "{told:?}");
    assert!(told["../out.png"].contains("leads out"), "{told:?}");
    assert_eq!(report["rows"], 1);

    // a table that says that it becomes more than there is place for
    let table = format!("a,b\n{}", "1,2\n".repeat(1000));
    write_zip(&place.path("table.zip"), &[("t.csv".into(), table.into_bytes())], CompressionMethod::Deflated);
    place.run(&["import", "table.zip", "-o", "table"]).done();
    assert!(parquet(&place.path("table")) == ["table-train-00000-of-00001.parquet"], "nothing unpacked stays");
    let mut bomb = place.read("table.zip");
    let at = places_of(&bomb, b"PK\x01\x02")[0];
    bomb[at + 24..at + 28].copy_from_slice(&0xf0f0_f0f0_u32.to_le_bytes());
    fs::write(place.path("bomb.zip"), &bomb).unwrap();
    place.run(&["import", "bomb.zip", "-o", "bomb"]).failed_with(&["bomb.zip", "becomes so large"]);
    assert!(!place.path("bomb").exists());

    // no cut and no wrong byte ends in anything but words
    for cut in (0..whole.len()).step_by(whole.len() / 12) {
        fs::write(place.path("cut.zip"), &whole[..cut]).unwrap();
        place.run(&["import", "cut.zip", "-o", "cut"]).failed_with(&[]);
    }
    for at in (0..whole.len()).step_by(whole.len() / 24) {
        let mut wrong = whole.clone();
        wrong[at] ^= 0x55;
        fs::write(place.path("wrong.zip"), &wrong).unwrap();
        let ran = place.run(&["import", "wrong.zip", "-o", "wrong", "--overwrite"]);
        assert!(matches!(ran.code, Some(0 | 1)) && !ran.stderr.contains("panicked"), "{at}: {}", ran.stderr);
    }
}

#[test]
fn a_gzipped_archive_that_breaks_off_gives_what_is_whole() {
    let place = Workplace::bare();
    class_folders(&place, "set", 0, 12);
    let mut packed = Vec::new();
    write_tar(GzEncoder::new(&mut packed, Compression::fast()), &files_below(&place.path("set")));
    fs::write(place.path("half.tgz"), &packed[..packed.len() / 2]).unwrap();
    let report = place.run(&["import", "half.tgz", "-o", "half", "--json"]).json();
    let rows = report["rows"].as_u64().unwrap();
    assert!((1..12).contains(&rows), "{report}");
    assert!(left_out(&report)["half.tgz"].contains("compression is broken"), "{report}");
    let names = features(&place.path("half/half-train-00000-of-00001.parquet"));
    assert!(names.get("label").is_some());
    let hidden = fs::read_dir(place.path("half")).unwrap();
    assert_eq!(hidden.count(), 1, "what was unpacked is gone");
    fs::write(place.path("none.tar.gz"), &packed[..8]).unwrap();
    place.run(&["import", "none.tar.gz", "-o", "none"]).failed_with(&["none.tar.gz"]);
    assert!(!place.path("none").exists());
}
