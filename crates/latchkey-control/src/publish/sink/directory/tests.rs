//! The directory alone: what is missing, what is swept, what would go back, two writers at once, a disk that fails.

use super::*;
use crate::publish::tests::stage::{NOW, Stage, head_bytes, quick};
use latchkey_snapshot::ObjectRef;
use std::sync::atomic::AtomicBool;

fn object(bytes: &[u8]) -> Object {
    Object { reference: ObjectRef::to(bytes), bytes: bytes.into() }
}

async fn sink(folder: &Path) -> DirectorySink {
    let stage = Stage::new().await;
    let _ = stage.settings(quick());
    DirectorySink::open(folder, stage.keyring.subscribe(), 1_000).unwrap()
}

#[tokio::test]
async fn head_is_refused_until_everything_it_names_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let sink = sink(folder.path()).await;
    let (one, other) = (object(b"one"), object(b"other"));
    let named = Named::of(vec![[one.clone()].into(), [other.clone()].into()]);
    sink.put_object(&one).await.unwrap();
    let torn = folder.path().join("objects").join(other.reference.digest().to_string());
    fs::write(&torn, b"oth").unwrap();
    let head = head_bytes(1, 7, NOW);
    let refused = sink.put_head(&head, &named).await.unwrap_err();
    assert_eq!(refused, SinkError::Missing(vec![other.reference.digest()]));
    assert!(!folder.path().join("head").exists());
    sink.put_object(&other).await.unwrap();
    sink.put_head(&head, &named).await.unwrap();
    assert_eq!(fs::read(torn).unwrap(), b"other");
}

#[tokio::test]
async fn head_never_goes_back_whoever_wrote_the_one_that_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (sink(folder.path()).await, sink(folder.path()).await);
    let nothing = Named::default();
    let held = head_bytes(1, 7, NOW.plus_ms(5));
    one.put_head(&held, &nothing).await.unwrap();
    let older = SinkError::Older { held: Some((latchkey_core::Generation(7), NOW.plus_ms(5))) };
    for head in [head_bytes(1, 6, NOW.plus_ms(99)), head_bytes(1, 7, NOW.plus_ms(4))] {
        assert_eq!(other.put_head(&head, &nothing).await, Err(older.clone()));
    }
    // The same again is no news; another of the same rank is refused.
    assert_eq!(other.put_head(&held, &nothing).await, Ok(Told::default()));
    let forked = crate::publish::tests::stage::head_bytes_until(1, 7, NOW.plus_ms(5), 60);
    assert_eq!(other.put_head(&forked, &nothing).await, Err(older));
    assert_eq!(fs::read(folder.path().join("head")).unwrap(), held);
    other.put_head(&head_bytes(1, 7, NOW.plus_ms(6)), &nothing).await.unwrap();
    other.put_head(&head_bytes(1, 8, NOW), &nothing).await.unwrap();
}

#[tokio::test]
async fn head_that_no_root_vouches_for_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let sink = sink(folder.path()).await;
    for head in [b"head".to_vec(), head_bytes(2, 7, NOW)] {
        let refused = sink.put_head(&head, &Named::default()).await.unwrap_err();
        assert!(matches!(refused, SinkError::Refused(_)), "{refused}");
    }
    assert!(!folder.path().join("head").exists());
}

#[tokio::test]
async fn unnamed_object_outlives_its_time_and_not_more() {
    let folder = tempfile::tempdir().unwrap();
    let sink = sink(folder.path()).await;
    let (kept, gone) = (object(b"kept"), object(b"gone"));
    sink.put_object(&kept).await.unwrap();
    sink.put_object(&gone).await.unwrap();
    let named = HashSet::from([kept.reference.digest()]);
    assert_eq!(sink.sweep(&named, NOW).await, Ok(0));
    assert_eq!(sink.sweep(&named, NOW.plus_ms(1_000)).await, Ok(0));
    assert_eq!(sink.sweep(&named, NOW.plus_ms(1_001)).await, Ok(1));
    assert!(sink.shelf.holds(&kept).unwrap() && !sink.shelf.holds(&gone).unwrap());
}

#[tokio::test]
async fn broken_head_file_counts_as_none() {
    let folder = tempfile::tempdir().unwrap();
    let sink = sink(folder.path()).await;
    fs::write(folder.path().join("head"), b"LKH1 and not more").unwrap();
    sink.put_root(1, b"root").await.unwrap();
    assert_eq!(sink.held().await, Ok(Held { root_version: 1, head: None }));
}

/// What is in the directory besides what belongs there.
fn parts(folder: &Path) -> Vec<PathBuf> {
    let mut parts = Vec::new();
    for folder in [folder.to_path_buf(), folder.join(OBJECTS), folder.join(ROOTS)] {
        let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        parts.extend(paths.filter(|path| path.extension().is_some_and(|extension| extension == PART)));
    }
    parts
}

/// Two writers put heads that overtake each other, while somebody reads all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_writers_none_moves_the_head_back() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (sink(folder.path()).await, sink(folder.path()).await);
    let keyring = one.shelf.keyring.clone();
    let is_over = Arc::new(AtomicBool::new(false));
    let reading = {
        let (path, is_over) = (folder.path().join(HEAD), Arc::clone(&is_over));
        std::thread::spawn(move || {
            let (mut last, mut read) = (None, 0);
            let root = keyring.borrow().root().clone();
            while !is_over.load(Ordering::SeqCst) {
                let Ok(bytes) = fs::read(&path) else { continue };
                let head = UnverifiedHead::parse(&bytes).expect("it is torn").verify(&root).unwrap();
                assert!(last.is_none_or(|last| last <= head.rank()), "it went back");
                last = Some(head.rank());
                read += 1;
            }
            read
        })
    };
    let write = async |sink: &DirectorySink, step: u64| {
        let mut taken = 0;
        // Every head of one writer lies between two of the other.
        for turn in 0..40u64 {
            let head = head_bytes(1, 1 + turn / 10, NOW.plus_ms(2 * turn + step));
            match sink.put_head(&head, &Named::default()).await {
                Ok(_) => taken += 1,
                Err(SinkError::Older { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        taken
    };
    let (first, second) = tokio::join!(write(&one, 0), write(&other, 1));
    is_over.store(true, Ordering::SeqCst);
    assert!(reading.join().unwrap() > 0);
    assert!(first + second >= 40, "{first} and {second} were taken");
    assert_eq!(one.held().await.unwrap().head, Some((latchkey_core::Generation(4), NOW.plus_ms(79))));
    assert_eq!(parts(folder.path()), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn object_that_two_writers_put_is_whole_whenever_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (sink(folder.path()).await, sink(folder.path()).await);
    for n in 0..10u8 {
        let object = object(&vec![n; 300_000]);
        let path = folder.path().join(OBJECTS).join(object.reference.digest().to_string());
        let (first, second) = tokio::join!(one.put_object(&object), other.put_object(&object));
        first.unwrap();
        second.unwrap();
        assert_eq!(fs::read(&path).unwrap(), &object.bytes[..]);
    }
    assert_eq!(parts(folder.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn writer_that_never_lets_go_is_not_waited_for_long() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = sink(folder.path()).await;
    Arc::get_mut(&mut sink.shelf).unwrap().lock_wait = Duration::from_millis(20);
    let held = File::options().append(true).open(folder.path().join(LOCK)).unwrap();
    held.lock().unwrap();
    let head = head_bytes(1, 7, NOW);
    let refused = sink.put_head(&head, &Named::default()).await.unwrap_err();
    assert!(matches!(refused, SinkError::Unavailable(_)), "{refused}");
    assert!(!folder.path().join(HEAD).exists());
    drop(held);
    sink.put_head(&head, &Named::default()).await.unwrap();
}

#[tokio::test]
async fn deleted_object_is_noticed_by_the_next_heads_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let sink = sink(folder.path()).await;
    let objects: Vec<Object> = (0..LOOKS_A_HEAD + 44).map(|n| object(&n.to_le_bytes())).collect();
    for object in &objects {
        // Not through the sink, which syncs each.
        fs::write(folder.path().join(OBJECTS).join(object.reference.digest().to_string()), &object.bytes)
            .unwrap();
    }
    let named = Named::of(vec![objects.clone().into()]);
    let mut as_of = 0;
    let mut next_head = || {
        as_of += 1;
        head_bytes(1, 7, NOW.plus_ms(as_of))
    };
    for _ in 0..3 {
        sink.put_head(&next_head(), &named).await.unwrap();
    }
    for gone in [0, LOOKS_A_HEAD, LOOKS_A_HEAD + 43] {
        let (digest, bytes) = (objects[gone].reference.digest(), &objects[gone].bytes);
        let path = folder.path().join(OBJECTS).join(digest.to_string());
        fs::remove_file(&path).unwrap();
        let mut outcomes = Vec::new();
        // A round takes two heads.
        for _ in 0..2 {
            outcomes.push(sink.put_head(&next_head(), &named).await);
        }
        assert!(outcomes.contains(&Err(SinkError::Missing(vec![digest]))), "{gone}: {outcomes:?}");
        fs::write(&path, bytes).unwrap();
        sink.put_head(&next_head(), &named).await.unwrap();
    }
}

#[test]
fn write_that_fails_half_way_leaves_what_was_there_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    write_whole(folder.path(), "head", b"before").unwrap();
    let full = |file: &mut File| {
        file.write_all(b"aft")?;
        Err(io::Error::from(ErrorKind::StorageFull))
    };
    let failed = write_whole_by(folder.path(), "head", full).unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::StorageFull);
    assert_eq!(fs::read(folder.path().join("head")).unwrap(), b"before");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn what_stands_in_the_way_delays_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let sink = sink(folder.path()).await;
    let (head, one) = (head_bytes(1, 7, NOW), object(b"one"));
    // A directory where a file should be, a file where a directory should be.
    fs::create_dir_all(folder.path().join(HEAD).join("inside")).unwrap();
    let refused = sink.put_head(&head, &Named::default()).await.unwrap_err();
    assert!(matches!(refused, SinkError::Unavailable(_)), "{refused}");
    fs::remove_dir_all(folder.path().join(HEAD)).unwrap();
    fs::remove_dir_all(folder.path().join(OBJECTS)).unwrap();
    fs::write(folder.path().join(OBJECTS), b"").unwrap();
    let refused = sink.put_object(&one).await.unwrap_err();
    assert!(matches!(refused, SinkError::Unavailable(_)), "{refused}");
    let named = Named::of(vec![[one.clone()].into()]);
    let refused = sink.put_head(&head, &named).await.unwrap_err();
    assert!(matches!(refused, SinkError::Unavailable(_)), "{refused}");
    assert!(!folder.path().join(HEAD).exists());
    fs::remove_file(folder.path().join(OBJECTS)).unwrap();
    fs::create_dir(folder.path().join(OBJECTS)).unwrap();
    sink.put_object(&one).await.unwrap();
    sink.put_head(&head, &named).await.unwrap();
    assert_eq!(parts(folder.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn leftovers_of_a_crash_are_cleared_away() {
    let folder = tempfile::tempdir().unwrap();
    drop(sink(folder.path()).await);
    let object_part = folder.path().join(OBJECTS).join("abc.1-2.part");
    let others = [folder.path().join("head.1-2.part"), folder.path().join("roots/1.part")];
    for part in others.iter().chain([&object_part]) {
        fs::write(part, b"half").unwrap();
    }
    let sink = sink(folder.path()).await;
    // Somebody may just be writing the object.
    assert_eq!(parts(folder.path()), [object_part]);
    assert_eq!(sink.sweep(&HashSet::new(), NOW).await, Ok(0));
    assert_eq!(sink.sweep(&HashSet::new(), NOW.plus_ms(1_001)).await, Ok(1));
    assert_eq!(parts(folder.path()), Vec::<PathBuf>::new());
}
