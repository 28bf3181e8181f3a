use std::path::Path;

use sqe_core::ErrorKind;

use super::*;

fn file(folder: &Path, protection: Protection) -> OperatorFile {
    OperatorFile { path: folder.join("f"), what: "test file", protection, max_bytes: 16 }
}

#[test]
fn what_is_written_is_read_and_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let file = file(folder.path(), Protection::NotWritable);
    assert_eq!(file.read().unwrap_err().kind(), ErrorKind::NotFound);
    assert!(file.stamp().is_none());
    let lock = file.lock().unwrap();
    file.append("one", &lock).unwrap();
    let (text, stamp) = file.read().unwrap();
    assert_eq!((text.as_str(), Some(stamp.clone())), ("one\n", file.stamp()));
    file.append("two", &lock).unwrap();
    assert_eq!(file.read().unwrap().0, "one\ntwo\n");
    assert_ne!(file.stamp(), Some(stamp));
    file.append("more than 16 bytes", &lock).unwrap();
    assert_eq!(file.read().unwrap_err().kind(), ErrorKind::InvalidInput);
    std::fs::write(&file.path, [0xff]).unwrap();
    assert_eq!(file.read().unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_line_is_added_behind_one_that_has_no_end() {
    let folder = tempfile::tempdir().unwrap();
    let file = file(folder.path(), Protection::NotWritable);
    std::fs::write(&file.path, "one").unwrap();
    file.append("two", &file.lock().unwrap()).unwrap();
    assert_eq!(file.read().unwrap().0, "one\ntwo\n");
}

#[test]
fn another_file_of_the_same_length_has_another_stamp() {
    let folder = tempfile::tempdir().unwrap();
    let file = file(folder.path(), Protection::NotWritable);
    let lock = file.lock().unwrap();
    file.replace("one", &lock).unwrap();
    let before = file.stamp();
    file.replace("two", &lock).unwrap();
    assert_ne!(file.stamp(), before);
    assert_eq!(file.read().unwrap().0, "two");
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "the file and its lock, no drafts: {names:?}");
}

#[test]
fn those_who_change_it_at_once_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = OperatorFile { max_bytes: 1 << 20, ..file(folder.path(), Protection::NotWritable) };
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let lock = file.lock().unwrap();
                let before = file.read().map(|(text, _)| text).unwrap_or_default();
                file.replace(&format!("{before}x\n"), &lock).unwrap();
            });
        }
    });
    assert_eq!(file.read().unwrap().0, "x\n".repeat(8));
}

#[cfg(unix)]
#[test]
fn a_file_that_others_may_change_or_read_is_refused() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    let folder = tempfile::tempdir().unwrap();
    for (protection, good, bad) in [
        (Protection::Private, vec![0o600, 0o400], vec![0o640, 0o604, 0o620, 0o644]),
        (Protection::NotWritable, vec![0o600, 0o644, 0o440], vec![0o664, 0o646, 0o666]),
    ] {
        let file = file(folder.path(), protection);
        file.replace("x", &file.lock().unwrap()).unwrap();
        file.read().expect("as it was made");
        for mode in bad {
            std::fs::set_permissions(&file.path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(file.read().unwrap_err().kind(), ErrorKind::PermissionDenied, "{mode:o}");
        }
        for mode in good {
            std::fs::set_permissions(&file.path, std::fs::Permissions::from_mode(mode)).unwrap();
            file.read().unwrap_or_else(|error| panic!("{mode:o}: {error}"));
        }
        std::fs::remove_file(&file.path).unwrap();
    }
    // A link stays one.
    let file = file(folder.path(), Protection::Private);
    let real = OperatorFile { path: folder.path().join("real"), ..file.clone() };
    real.replace("x", &real.lock().unwrap()).unwrap();
    symlink(&real.path, &file.path).unwrap();
    file.replace("y", &file.lock().unwrap()).unwrap();
    assert_eq!((file.read().unwrap().0, real.read().unwrap().0), ("y".to_owned(), "y".to_owned()));
    assert!(std::fs::symlink_metadata(&file.path).unwrap().is_symlink());
}
