use std::io::Read as _;

use tar::{Builder, EntryType, Header};

use super::*;
use crate::testing::Fixture;

/// An archive with one member after the other.
fn archive(members: &[(&str, EntryType, &str)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, kind, content) in members {
        let mut header = Header::new_ustar();
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        header.set_mtime(1_000_000_000);
        // Not checked, as `set_path` would.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        let data = if kind.is_file() { content.as_bytes() } else { b"" };
        if !kind.is_file() {
            header.as_old_mut().linkname[..content.len()].copy_from_slice(content.as_bytes());
        }
        header.set_size(data.len() as u64);
        header.set_cksum();
        builder.append(&header, data).unwrap();
    }
    builder.into_inner().unwrap()
}

fn input(bytes: Vec<u8>) -> Input {
    Input::new(Box::new(std::io::Cursor::new(bytes)))
}

#[test]
fn command_lines_are_read_as_kubectl_writes_them() {
    let parse = |line: &str| {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        Request::parse(&words).map_err(|failure| failure.to_string())
    };
    let request = |mode, dir: Option<&str>, keep_times, paths: &[&str]| Request {
        mode: Some(mode),
        dir: dir.map(str::to_owned),
        keep_times,
        paths: paths.iter().map(|&path| path.to_owned()).collect(),
        ..Request::default()
    };
    assert_eq!(parse("cf - /var/log"), Ok(request(Mode::Create, None, true, &["/var/log"])));
    assert_eq!(parse("-xmf - -C /dest"), Ok(request(Mode::Extract, Some("/dest"), false, &[])));
    let line = "--no-same-permissions --no-same-owner -xmf - -C /dest";
    assert_eq!(parse(line), Ok(request(Mode::Extract, Some("/dest"), false, &[])));
    assert_eq!(parse("-c -- -x"), Ok(request(Mode::Create, None, true, &["-x"])));
    for line in ["-xz", "--strip-components=1 -x", "-xc", "-f", "-x -C"] {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[tokio::test]
async fn what_goes_in_comes_out() {
    let fixture = Fixture::new();
    let long = format!("/tmp/tree/{}", "n".repeat(150));
    fixture.mkdir("/tmp/tree");
    fixture.mkdir("/tmp/tree/sub");
    fixture.write("/tmp/tree/sub/file", b"content");
    fixture.write(&long, &vec![b'x'; 1000]);
    fixture.symlink("sub/file", "/tmp/tree/link");
    let ran = fixture.run(&["tar", "cf", "-", "/tmp/tree"]).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (0, "tar: removing leading '/' from member names\n"));
    // Others can read it.
    let mut names = Vec::new();
    for entry in ::tar::Archive::new(&*ran.stdout).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        names.push((entry.path().unwrap().display().to_string(), content.len()));
    }
    names.sort();
    let expected =
        [("tmp/tree/", 0), ("tmp/tree/link", 0), (&long[1..], 1000), ("tmp/tree/sub/", 0), ("tmp/tree/sub/file", 7)];
    assert_eq!(names, expected.map(|(name, size)| (name.to_owned(), size)));

    fixture.mkdir("/tmp/out");
    let listed = fixture.run_with(&["tar", "-tf", "-"], input(ran.stdout.clone())).await;
    assert_eq!(listed.text().1.lines().count(), 5);
    let ran = fixture.run_with(&["tar", "-xmf", "-", "-C", "/tmp/out"], input(ran.stdout)).await;
    assert_eq!(ran.text(), (0, "", ""));
    assert_eq!(fixture.read("/tmp/out/tmp/tree/sub/file").as_deref(), Some("content"));
    assert_eq!(fixture.read("/tmp/out/tmp/tree/link").as_deref(), Some("content"));
    assert_eq!(fixture.read(&format!("/tmp/out{long}")).map(|text| text.len()), Some(1000));
}

#[tokio::test]
async fn archives_lie_in_files_too_and_parts_are_taken() {
    let fixture = Fixture::new();
    fixture.write("/tmp/a", b"a");
    fixture.write("/tmp/b", b"b");
    assert_eq!(fixture.run(&["tar", "-C", "/tmp", "-cf", "/data/x.tar", "a", "b"]).await.text(), (0, "", ""));
    fixture.mkdir("/tmp/out");
    assert_eq!(fixture.run(&["tar", "-xf", "/data/x.tar", "-C", "/tmp/out", "b"]).await.text(), (0, "", ""));
    assert_eq!((fixture.read("/tmp/out/a"), fixture.read("/tmp/out/b").as_deref()), (None, Some("b")));
    let ran = fixture.run(&["tar", "-cf", "-", "none"]).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (1, "tar: none: No such file or directory\n"));
    assert_eq!(fixture.run(&["tar", "-cf", "-"]).await.code, 2);
    assert_eq!(fixture.run(&["tar", "-xf", "-", "-C", "/none"]).await.code, 1);
}

#[tokio::test]
async fn times_are_kept_unless_they_shall_not_be() {
    let fixture = Fixture::new();
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    let bytes = archive(&[("f", EntryType::Regular, "x")]);
    assert_eq!(fixture.run_with(&["tar", "-xf", "-", "-C", "/tmp"], input(bytes.clone())).await.code, 0);
    assert_eq!(fixture.tree.stat("/tmp/f", true).unwrap().modified, old);
    assert_eq!(fixture.run_with(&["tar", "-xmf", "-", "-C", "/tmp"], input(bytes)).await.code, 0);
    assert_ne!(fixture.tree.stat("/tmp/f", true).unwrap().modified, old);
}

#[tokio::test]
async fn members_do_not_get_out_of_their_directory() {
    let fixture = Fixture::new();
    fixture.mkdir("/tmp/out");
    fixture.write("/data/victim", b"safe");
    let cases: &[&[(&str, EntryType, &str)]] = &[
        &[("../x", EntryType::Regular, "x")],
        &[("a/../../x", EntryType::Regular, "x")],
        // Through a link that the archive made before.
        &[("l", EntryType::Symlink, "../../data"), ("l/victim", EntryType::Regular, "x")],
        &[("l", EntryType::Symlink, "../../data"), ("l/sub/", EntryType::Directory, "")],
        &[("l", EntryType::Symlink, "../../data"), ("h", EntryType::Link, "l/victim")],
        &[("h", EntryType::Link, "../../data/victim"), ("h", EntryType::Regular, "x")],
        &[("abs", EntryType::Symlink, "/data/victim")],
        &[("l", EntryType::Symlink, "../../data/victim"), ("l", EntryType::Regular, "x")],
    ];
    for members in cases {
        let ran = fixture.run_with(&["tar", "-xf", "-", "-C", "/tmp/out"], input(archive(members))).await;
        let replaced = members.last().is_some_and(|last| last.1 == EntryType::Regular)
            && members[0].0 == members.last().unwrap().0;
        assert_eq!(ran.code == 0, replaced && members[0].1 == EntryType::Symlink, "{members:?}: {ran:?}");
        assert_eq!(
            fixture.run(&["ls", "/data", "/tmp"]).await.text().1,
            "/data:\nvictim\n\n/tmp:\nout\n",
            "{members:?}"
        );
        assert_eq!(fixture.read("/data/victim").as_deref(), Some("safe"), "{members:?}");
        assert_eq!(fixture.run(&["rm", "-rf", "/tmp/out"]).await.code, 0);
        fixture.mkdir("/tmp/out");
    }
    // An absolute name is taken from the directory.
    let bytes = archive(&[("/deep/er/file", EntryType::Regular, "x")]);
    assert_eq!(fixture.run_with(&["tar", "-xf", "-", "-C", "/tmp/out"], input(bytes)).await.code, 0);
    assert_eq!(fixture.read("/tmp/out/deep/er/file").as_deref(), Some("x"));
}

#[tokio::test]
async fn devices_are_left_out_and_other_things_are_not_harmed() {
    let fixture = Fixture::new();
    let bytes = archive(&[("dev", EntryType::Char, ""), ("pipe", EntryType::Fifo, ""), ("f", EntryType::Regular, "x")]);
    let ran = fixture.run_with(&["tar", "-xf", "-", "-C", "/tmp"], input(bytes)).await;
    assert_eq!(ran.code, 1);
    assert_eq!(fixture.run(&["ls", "/tmp"]).await.text().1, "f\n");
}

#[tokio::test]
async fn archives_that_lie_about_their_size_end_where_they_end() {
    let fixture = Fixture::new();
    let mut header = Header::new_ustar();
    header.set_path("huge").unwrap();
    header.set_size(1 << 32);
    header.set_entry_type(EntryType::Regular);
    header.set_cksum();
    let ran = fixture.run_with(&["tar", "-xf", "-", "-C", "/tmp"], input(header.as_bytes().to_vec())).await;
    assert_eq!(ran.text(), (2, "", "tar: huge: unexpected end of archive\n"));
    // More than the volume takes.
    let endless = std::io::Cursor::new(header.as_bytes().to_vec());
    let endless = Input::new(Box::new(tokio::io::AsyncReadExt::chain(endless, tokio::io::repeat(b'x'))));
    let ran = fixture.run_with(&["tar", "-xf", "-", "-C", "/data"], endless).await;
    assert_eq!(ran.text(), (2, "", "tar: huge: No space left on device\n"));
    for (kind, size) in [(EntryType::XHeader, 1 << 40), (EntryType::GNULongName, 1 << 20)] {
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_cksum();
        let ran = fixture.run_with(&["tar", "-xf", "-", "-C", "/tmp"], input(header.as_bytes().to_vec())).await;
        assert_eq!(ran.text(), (2, "", "tar: a header's extension is larger than 32768 bytes\n"));
    }
    for (bytes, words) in [
        (
            b"\x1f\x8b".iter().copied().chain([0; 510]).collect(),
            "tar: compressed archives are not supported by this built-in command\n",
        ),
        (vec![b'x'; 512], "tar: this is not a tar archive\n"),
        (vec![b'x'; 100], "tar: unexpected end of archive\n"),
    ] {
        assert_eq!(fixture.run_with(&["tar", "-xf", "-"], input(bytes)).await.text(), (2, "", words));
    }
    assert_eq!(fixture.run_with(&["tar", "-xf", "-"], Input::empty()).await.code, 0);
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(blocks in proptest::collection::vec(proptest::collection::vec(0_u8.., 512), 0..4), sum in proptest::bool::ANY) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut bytes = blocks.concat();
        if sum && !bytes.is_empty() {
            let mut header = Header::from_byte_slice(&bytes[..512]).clone();
            header.set_cksum();
            bytes[..512].copy_from_slice(header.as_bytes());
        }
        let fixture = Fixture::new();
        runtime.block_on(async { fixture.run_with(&["tar", "-xf", "-", "-C", "/tmp"], input(bytes)).await });
    }
}
