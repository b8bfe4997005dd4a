//! What the engine relies on from a component store.

use std::os::unix::fs::symlink;

use super::*;

fn name(text: &str) -> FileName {
    FileName::new(text).unwrap()
}

fn file(text: &str, bytes: &[u8]) -> ComponentFile {
    ComponentFile {
        name: name(text),
        bytes: Bytes::copy_from_slice(bytes),
    }
}

fn store() -> (tempfile::TempDir, FolderStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = FolderStore::open(&dir.path().join("plugins"), &[]).unwrap();
    (dir, store)
}

#[tokio::test]
async fn files_are_written_listed_read_and_removed() {
    let (_dir, store) = store();
    assert!(store.list().await.unwrap().is_empty());
    store.write(file("b.wasm", b"bb")).await.unwrap();
    store.write(file("a.wasm.py", b"aa")).await.unwrap();
    store.write(file("b.wasm", b"b2")).await.unwrap();
    let names: Vec<_> = store.list().await.unwrap();
    assert_eq!(names, [name("a.wasm.py"), name("b.wasm")]);
    let read = store.read(name("b.wasm"), 10).await.unwrap().unwrap();
    assert_eq!(&read.bytes[..], b"b2");
    assert!(store.remove(name("b.wasm")).await.unwrap());
    assert!(!store.remove(name("b.wasm")).await.unwrap());
    assert!(store.read(name("b.wasm"), 10).await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_no_component_by_name_is_left_out() {
    let (_dir, store) = store();
    for other in ["x.py", ".hidden.wasm", "x.toml", "x.wasm.bak", "ü.wasm"] {
        std::fs::write(store.folders.first.join(other), "").unwrap();
    }
    std::fs::create_dir(store.folders.first.join("d.wasm")).unwrap();
    assert!(store.list().await.unwrap().is_empty());
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// The lines since the last look.
    fn take(&self) -> Vec<String> {
        let text = String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap();
        text.lines().map(String::from).collect()
    }
}

/// What this thread logs from now on.
fn logged() -> (Lines, tracing::subscriber::DefaultGuard) {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    (lines, tracing::subscriber::set_default(subscriber))
}

#[tokio::test]
async fn unfit_names_are_warned_about_once() {
    use std::os::unix::ffi::OsStrExt;

    let (lines, _here) = logged();
    let (_dir, store) = store();
    let unfit = ["GW.WASM", "a b%c.wasm", "x.wasm.PY", "ü.wasm"];
    for other in unfit.iter().chain(&["x.py", ".hidden.wasm", "good.wasm"]) {
        std::fs::write(store.folders.first.join(other), "").unwrap();
    }
    let bytes = std::ffi::OsStr::from_bytes(b"\xff.wasm");
    std::fs::write(store.folders.first.join(bytes), "").unwrap();
    std::fs::create_dir(store.folders.first.join("D.WASM")).unwrap();
    assert_eq!(store.list().await.unwrap(), [name("good.wasm")]);
    let said = lines.take();
    assert_eq!(said.len(), unfit.len() + 1, "{said:?}");
    for (line, name) in said.iter().zip(unfit) {
        assert!(line.contains("WARN") && line.contains(name), "{line}");
        assert!(line.contains("ending in .wasm or .wasm.py"), "{line}");
    }
    store.clone().list().await.unwrap();
    assert!(lines.take().is_empty(), "once is enough");
    // Gone and back again is new.
    std::fs::remove_file(store.folders.first.join("GW.WASM")).unwrap();
    store.list().await.unwrap();
    std::fs::write(store.folders.first.join("GW.WASM"), "").unwrap();
    store.list().await.unwrap();
    let said = lines.take();
    assert!(said.len() == 1 && said[0].contains("GW.WASM"), "{said:?}");
}

#[tokio::test]
async fn a_file_over_the_cap_is_an_error_that_names_it() {
    let (_dir, store) = store();
    store.write(file("a.wasm", &[0; 11])).await.unwrap();
    let e = store
        .read(name("a.wasm"), 10)
        .await
        .unwrap_err()
        .to_string();
    assert!(e.contains("a.wasm") && e.contains("at most 10"), "{e}");
    assert!(store.read(name("a.wasm"), 11).await.unwrap().is_some());
}

#[tokio::test]
async fn links_are_not_followed() {
    let (dir, store) = store();
    let outside = dir.path().join("secret");
    std::fs::write(&outside, "secret").unwrap();
    symlink(&outside, store.folders.first.join("a.wasm")).unwrap();
    symlink(&outside, store.folders.first.join("a.toml")).unwrap();
    let e = store.read(name("a.wasm"), 10).await.unwrap_err();
    assert!(e.to_string().contains("symbolic link"), "{e}");
    assert!(store.read_settings(name("a.wasm")).await.is_err());
    // A write replaces the link, not what it points to.
    store.write(file("a.wasm", b"new")).await.unwrap();
    assert_eq!(std::fs::read(&outside).unwrap(), b"secret");
    let read = store.read(name("a.wasm"), 10).await.unwrap().unwrap();
    assert_eq!(&read.bytes[..], b"new");
}

#[tokio::test]
async fn a_pipe_does_not_hang_the_reader() {
    let (_dir, store) = store();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        store.folders.first.join("p.wasm"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let e = store.read(name("p.wasm"), 10).await.unwrap_err();
    assert!(e.to_string().contains("not a regular file"), "{e}");
}

#[tokio::test]
async fn settings_are_text_beside_the_component() {
    let (_dir, store) = store();
    assert!(store.read_settings(name("a.wasm")).await.unwrap().is_none());
    std::fs::write(store.folders.first.join("a.toml"), "x = 1").unwrap();
    let text = store.read_settings(name("a.wasm.py")).await.unwrap();
    assert_eq!(text.as_deref(), Some("x = 1"));
    std::fs::write(store.folders.first.join("a.toml"), b"\xff").unwrap();
    let e = store.read_settings(name("a.wasm")).await.unwrap_err();
    assert!(e.to_string().contains("a.toml"), "{e}");
}

#[tokio::test]
async fn a_crash_leaves_nothing_that_counts() {
    let (dir, store) = store();
    let left = store.folders.first.join(".weir-abc.tmp");
    std::fs::write(&left, "half").unwrap();
    assert!(store.list().await.unwrap().is_empty());
    FolderStore::open(&dir.path().join("plugins"), &[]).unwrap();
    assert!(!left.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_see_the_old_file_or_the_new_one() {
    let (_dir, store) = store();
    store.write(file("a.wasm", &[0; 4096])).await.unwrap();
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            for round in 1..=50u8 {
                store.write(file("a.wasm", &[round; 4096])).await.unwrap();
            }
        })
    };
    while !writer.is_finished() {
        let read = store.read(name("a.wasm"), 4096).await.unwrap().unwrap();
        assert_eq!(read.bytes.len(), 4096);
        assert!(read.bytes.iter().all(|b| *b == read.bytes[0]));
    }
    writer.await.unwrap();
    assert_eq!(std::fs::read_dir(&store.folders.first).unwrap().count(), 1);
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, "").unwrap();
    let e = FolderStore::open(&path, &[]).unwrap_err().to_string();
    assert!(e.contains(path.to_str().unwrap()), "{e}");
}

/// Three folders and a store over them.
fn three() -> (tempfile::TempDir, [PathBuf; 3], FolderStore) {
    let dir = tempfile::tempdir().unwrap();
    let [a, b, c] = ["a", "b", "c"].map(|n| dir.path().join(n));
    for folder in [&b, &c] {
        std::fs::create_dir(folder).unwrap();
    }
    let store = FolderStore::open(&a, &[b.clone(), c.clone()]).unwrap();
    (dir, [a, b, c], store)
}

#[tokio::test]
async fn several_folders_are_one_and_the_first_that_has_a_name_wins() {
    let (_dir, [a, b, c], store) = three();
    let (lines, _here) = logged();
    let put = |folder: &Path, name: &str, text: &str| {
        std::fs::write(folder.join(name), text).unwrap();
    };
    put(&c, "x.wasm", "c");
    put(&c, "x.toml", "of = 'c'");
    put(&a, "x.toml", "of = 'a'");
    put(&c, "z.wasm", "z");
    put(&a, "m.wasm", "m");
    let all = [name("m.wasm"), name("x.wasm"), name("z.wasm")];
    assert_eq!(store.list().await.unwrap(), all);
    assert!(lines.take().is_empty());
    let read = async |text: &str| {
        let found = store.read(name(text), 10).await.unwrap().unwrap();
        String::from_utf8(found.bytes.to_vec()).unwrap()
    };
    let settings = async |text: &str| store.read_settings(name(text)).await.unwrap();
    assert_eq!(read("x.wasm").await, "c");
    assert_eq!(settings("x.wasm").await.as_deref(), Some("of = 'c'"));

    put(&b, "x.wasm", "b");
    assert_eq!(store.list().await.unwrap(), all);
    store.list().await.unwrap();
    let said = lines.take();
    assert_eq!(said.len(), 1, "once: {said:?}");
    let (left, instead) = (c.join("x.wasm"), b.join("x.wasm"));
    for path in [left, instead] {
        assert!(said[0].contains(path.to_str().unwrap()), "{said:?}");
    }
    assert_eq!(read("x.wasm").await, "b");
    assert_eq!(settings("x.wasm").await, None, "c's are not for it");
}

#[tokio::test]
async fn files_are_replaced_and_removed_where_they_lie_and_new_ones_go_to_the_first_folder() {
    let (_dir, [a, b, c], store) = three();
    store.write(file("new.wasm", b"1")).await.unwrap();
    assert!(a.join("new.wasm").exists());
    for folder in [&b, &c] {
        std::fs::write(folder.join("x.wasm"), "old").unwrap();
    }
    store.write(file("x.wasm", b"new")).await.unwrap();
    let text = |folder: &Path| std::fs::read_to_string(folder.join("x.wasm")).unwrap();
    assert!(!a.join("x.wasm").exists());
    assert_eq!((text(&b).as_str(), text(&c).as_str()), ("new", "old"));
    assert!(store.remove(name("x.wasm")).await.unwrap());
    assert!(!b.join("x.wasm").exists() && c.join("x.wasm").exists());
}

#[tokio::test]
async fn only_the_first_folder_is_made_and_none_is_named_twice() {
    let (dir, [a, b, c], store) = three();
    let refused = |first: &Path, others: &[PathBuf], words: &str, path: &Path| {
        let e = FolderStore::open(first, others).unwrap_err().to_string();
        assert!(
            e.contains(words) && e.contains(path.to_str().unwrap()),
            "{e}"
        );
    };
    let missing = dir.path().join("missing");
    refused(
        &a,
        std::slice::from_ref(&missing),
        "it is not there",
        &missing,
    );
    refused(
        &a,
        &[b.clone(), dir.path().join("a/../b")],
        "named twice",
        &dir.path().join("a/../b"),
    );
    refused(&a, std::slice::from_ref(&a), "named twice", &a);
    // One that is gone later is an error, too: its plugins are not taken for removed.
    std::fs::remove_dir(&c).unwrap();
    let e = store.list().await.unwrap_err().to_string();
    assert!(e.contains(c.to_str().unwrap()), "{e}");
}
