//! Random histories, step by step the same as on a real directory.

use std::os::fd::OwnedFd;

use nacelle_infra::fs::{FileKind, OpenHow};
use proptest::prelude::*;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags};

use super::*;

/// Paths out of few names, so that histories meet.
fn path() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["a", "b", "c", "d"]);
    let odd = prop::sample::select(vec!["a", "b", "a", "b", "c", ".", ".."]);
    let path = (prop::collection::vec(odd, 0..3), name).prop_map(|(mut names, last)| {
        names.push(last);
        names.join("/")
    });
    (path, prop::bool::weighted(0.08)).prop_map(|(path, slash)| if slash { path + "/" } else { path })
}

#[derive(Clone, Debug)]
enum Op {
    Mkdir(String),
    Rmdir(String),
    Unlink(String),
    Rename(String, String),
    Link(String, String, bool),
    Symlink(String, String),
    Readlink(String),
    Stat(String, bool),
    List(String),
    Open(String, Flags),
    Write(String, u64, usize),
    Append(String, usize),
    Truncate(String, u64),
}

#[derive(Clone, Copy, Debug)]
struct Flags {
    create: bool,
    exclusive: bool,
    truncate: bool,
    directory: bool,
    follow: bool,
    write: bool,
}

fn flags() -> impl Strategy<Value = Flags> {
    any::<(bool, bool, bool, bool, bool, bool)>().prop_map(|(create, exclusive, truncate, directory, follow, write)| {
        let directory = directory && !create && !truncate;
        Flags {
            create,
            exclusive: exclusive && create,
            truncate,
            directory,
            follow,
            write: write || create || truncate,
        }
    })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => path().prop_map(Op::Mkdir),
        2 => path().prop_map(Op::Rmdir),
        2 => path().prop_map(Op::Unlink),
        4 => (path(), path()).prop_map(|(from, to)| Op::Rename(from, to)),
        2 => (path(), path(), any::<bool>()).prop_map(|(from, to, follow)| Op::Link(from, to, follow)),
        2 => (path(), path()).prop_map(|(target, path)| Op::Symlink(target, path)),
        1 => path().prop_map(Op::Readlink),
        2 => (path(), any::<bool>()).prop_map(|(path, follow)| Op::Stat(path, follow)),
        1 => path().prop_map(Op::List),
        4 => (path(), flags()).prop_map(|(path, flags)| Op::Open(path, flags)),
        2 => (path(), 0_u64..9000, 1_usize..5000).prop_map(|(path, at, len)| Op::Write(path, at, len)),
        1 => (path(), 1_usize..5000).prop_map(|(path, len)| Op::Append(path, len)),
        1 => (path(), 0_u64..9000).prop_map(|(path, size)| Op::Truncate(path, size)),
    ]
}

/// What a step gave, as far as both can say it.
type Outcome = Result<String, Errno>;

fn shown(kind: FileKind, size: u64, links: u64) -> String {
    match kind {
        FileKind::File => format!("file of {size} bytes with {links} names"),
        FileKind::Symlink => format!("link of {size} bytes"),
        kind => format!("{kind:?}"),
    }
}

fn ours(dir: &Descriptor, op: &Op) -> Outcome {
    let done = |()| String::new();
    match op {
        Op::Mkdir(path) => dir.create_directory_at(path).map(done),
        Op::Rmdir(path) => dir.remove_directory_at(path).map(done),
        Op::Unlink(path) => dir.unlink_file_at(path).map(done),
        Op::Rename(from, to) => dir.rename_at(from, dir, to).map(done),
        Op::Link(from, to, follow) => dir.link_at(*follow, from, dir, to).map(done),
        Op::Symlink(target, path) => dir.symlink_at(target, path).map(done),
        Op::Readlink(path) => dir.readlink_at(path),
        Op::Stat(path, follow) => dir.stat_at(path, *follow).map(|stat| shown(stat.kind, stat.size, stat.nlink)),
        Op::List(path) => Ok(names(&dir.open_at(path, DIRECTORY)?).join(" ")),
        Op::Open(path, flags) => {
            let Flags { create, exclusive, truncate, directory, follow, write } = *flags;
            let how =
                OpenHow { create, exclusive, truncate, directory, follow, write, read: true, mutate_directory: false };
            dir.open_at(path, how).map(|file| format!("{:?}", file.kind()))
        }
        Op::Write(path, at, len) => {
            let file = dir.open_at(path, WRITE)?;
            assert_eq!(file.write_at(*at, &vec![b'w'; *len]), Ok(*len));
            content(&file)
        }
        Op::Append(path, len) => {
            let file = dir.open_at(path, WRITE)?;
            assert_eq!(file.append(&vec![b'a'; *len]), Ok(*len));
            content(&file)
        }
        Op::Truncate(path, size) => {
            let file = dir.open_at(path, WRITE)?;
            file.set_size(*size)?;
            content(&file)
        }
    }
}

fn content(file: &Descriptor) -> Outcome {
    Ok(format!("{:?}", file.read_bytes_at(0, 1 << 20)?))
}

fn real(dir: &OwnedFd, op: &Op) -> Outcome {
    let done = |()| String::new();
    let open = |path: &str, flags: OFlags| rustix::fs::openat(dir, path, flags | OFlags::NONBLOCK, Mode::from(0o644));
    let content = |file: &OwnedFd| -> Outcome {
        let mut buffer = vec![0; 1 << 16];
        let read = rustix::io::pread(file, &mut buffer[..], 0)?;
        buffer.truncate(read);
        Ok(format!("{:?}", bytes::Bytes::from(buffer)))
    };
    match op {
        Op::Mkdir(path) => rustix::fs::mkdirat(dir, path, Mode::from(0o755)).map(done),
        Op::Rmdir(path) => rustix::fs::unlinkat(dir, path, AtFlags::REMOVEDIR).map(done),
        Op::Unlink(path) => rustix::fs::unlinkat(dir, path, AtFlags::empty()).map(done),
        Op::Rename(from, to) => rustix::fs::renameat_with(dir, from, dir, to, RenameFlags::empty()).map(done),
        Op::Link(from, to, follow) => {
            let flags = if *follow { AtFlags::SYMLINK_FOLLOW } else { AtFlags::empty() };
            rustix::fs::linkat(dir, from, dir, to, flags).map(done)
        }
        Op::Symlink(target, path) => rustix::fs::symlinkat(target, dir, path).map(done),
        Op::Readlink(path) => rustix::fs::readlinkat(dir, path, Vec::new()).map(|target| target.into_string().unwrap()),
        Op::Stat(path, follow) => {
            let flags = if *follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
            rustix::fs::statat(dir, path, flags).map(|stat| {
                let kind = match FileType::from_raw_mode(stat.st_mode) {
                    FileType::Directory => FileKind::Directory,
                    FileType::Symlink => FileKind::Symlink,
                    _ => FileKind::File,
                };
                shown(kind, stat.st_size.cast_unsigned(), stat.st_nlink)
            })
        }
        Op::List(path) => {
            let dir = open(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
            let names = rustix::fs::Dir::new(dir)?.map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned());
            let mut names: Vec<_> = names.filter(|name| name != "." && name != "..").collect();
            names.sort();
            Ok(names.join(" "))
        }
        Op::Open(path, flags) => {
            let mut how = if flags.write { OFlags::RDWR } else { OFlags::RDONLY };
            how.set(OFlags::CREATE, flags.create);
            how.set(OFlags::EXCL, flags.exclusive);
            how.set(OFlags::TRUNC, flags.truncate);
            how.set(OFlags::DIRECTORY, flags.directory);
            how.set(OFlags::NOFOLLOW, !flags.follow);
            let file = open(path, how)?;
            let is_dir = FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) == FileType::Directory;
            Ok(format!("{:?}", if is_dir { FileKind::Directory } else { FileKind::File }))
        }
        Op::Write(path, at, len) => {
            let file = open(path, OFlags::RDWR)?;
            assert_eq!(rustix::io::pwrite(&file, &vec![b'w'; *len], *at), Ok(*len));
            content(&file)
        }
        Op::Append(path, len) => {
            let file = open(path, OFlags::RDWR | OFlags::APPEND)?;
            assert_eq!(rustix::io::write(&file, &vec![b'a'; *len]), Ok(*len));
            content(&file)
        }
        Op::Truncate(path, size) => {
            let file = open(path, OFlags::RDWR)?;
            rustix::fs::ftruncate(&file, *size)?;
            content(&file)
        }
    }
}

/// Whether WASI wants something else than Linux: the tests of these are in `paths`.
fn is_wasi_s(op: &Op, ours: &Outcome, real: &Outcome) -> bool {
    // A path that leads above its directory through a link. The real one is two levels deep.
    let above = *ours == Err(Errno::PERM);
    let slash = match op {
        // A name with a slash after it, for what is no directory.
        Op::Symlink(_, path) | Op::Link(_, path, _) => path.ends_with('/') && *real == Err(Errno::EXIST),
        _ => false,
    };
    above || slash
}

/// All there is below `dir`: names, kinds, content.
fn dump(path: &str, list: &dyn Fn(&str) -> Outcome, tell: &dyn Fn(&str) -> Outcome) -> Vec<String> {
    let mut found = Vec::new();
    let mut pending = vec![path.to_owned()];
    while let Some(path) = pending.pop() {
        let Ok(names) = list(&path) else { continue };
        for name in names.split(' ').filter(|name| !name.is_empty()) {
            let path = format!("{path}/{name}");
            let kind = tell(&path).unwrap();
            if kind == "Directory" {
                pending.push(path.clone());
            }
            found.push(format!("{path}: {kind}"));
        }
    }
    found.sort();
    found
}

fn run(top: &Descriptor, host: &Path, ops: &[Op]) -> Result<(), TestCaseError> {
    let open = OFlags::RDONLY | OFlags::DIRECTORY;
    let real_dir = rustix::fs::open(host, open, Mode::empty()).unwrap();
    for op in ops {
        // Paths above are WASI's business; the real directory must not see them.
        if leads_up(op) {
            continue;
        }
        let (mine, theirs) = (ours(top, op), real(&real_dir, op));
        if mine != theirs && !is_wasi_s(op, &mine, &theirs) {
            return Err(TestCaseError::fail(format!("{op:?}: {mine:?}, but Linux {theirs:?}")));
        }
    }
    let list = |op: &dyn Fn(&Op) -> Outcome, path: &str| op(&Op::List(path.to_owned()));
    let tell = |op: &dyn Fn(&Op) -> Outcome, path: &str| {
        let told = op(&Op::Stat(path.to_owned(), false))?;
        Ok(if told.starts_with("file") { format!("{told} {:?}", op(&Op::Write(path.to_owned(), 0, 1))) } else { told })
    };
    let mine: &dyn Fn(&Op) -> Outcome = &|op| ours(top, op);
    let theirs: &dyn Fn(&Op) -> Outcome = &|op| real(&real_dir, op);
    prop_assert_eq!(
        dump(".", &|path| list(mine, path), &|path| tell(mine, path)),
        dump(".", &|path| list(theirs, path), &|path| tell(theirs, path))
    );
    Ok(())
}

/// Whether a path, taken by its text, leaves its directory. For links, as if they were anywhere.
fn leads_up(op: &Op) -> bool {
    let up = |path: &str| {
        let mut depth = 0_i32;
        path.split('/').any(|name| {
            depth += match name {
                "." | "" => 0,
                ".." => -1,
                _ => 1,
            };
            depth < 0
        })
    };
    match op {
        Op::Symlink(target, path) => target.contains("..") || up(path),
        Op::Rename(one, other) | Op::Link(one, other, _) => up(one) || up(other),
        Op::Mkdir(path)
        | Op::Rmdir(path)
        | Op::Unlink(path)
        | Op::Readlink(path)
        | Op::Stat(path, _)
        | Op::List(path)
        | Op::Open(path, _)
        | Op::Write(path, ..)
        | Op::Append(path, _)
        | Op::Truncate(path, _) => up(path),
    }
}

/// A real directory of its own, without a `tmp`.
fn host() -> (tempfile::TempDir, PathBuf) {
    // In memory where there is one: there are many.
    let temp = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let dir = temp.path().join("x/y");
    std::fs::create_dir_all(&dir).unwrap();
    (temp, dir)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn a_volume_in_memory_is_like_a_real_directory(ops in prop::collection::vec(op(), 1..60)) {
        let (_temp, host) = host();
        let top = namespace(memory()).root();
        top.create_directory_at("base").unwrap();
        run(&top.open_at("base", DIRECTORY).unwrap(), &host, &ops)?;
    }

    #[test]
    fn a_directory_of_the_host_is_like_a_real_directory(ops in prop::collection::vec(op(), 1..60)) {
        let ((_temp, dir), (_other, host)) = (host(), host());
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let tree = Tree::host(rustix::fs::open(&dir, flags, Mode::empty()).unwrap(), None).unwrap();
        let namespace = NamespaceBuilder::new(memory(), false).mount("/m", tree, None, false).build().unwrap();
        run(&namespace.open_dir("/m").unwrap(), &host, &ops)?;
    }

    #[test]
    fn a_root_over_an_image_is_like_a_real_directory(
        before in prop::collection::vec(op(), 0..30), ops in prop::collection::vec(op(), 1..40)
    ) {
        let (_temp, host) = host();
        let root = Root::new();
        std::fs::create_dir(root.lower().join("base")).unwrap();
        // The image is what the first part of the history makes.
        for dir in [&host, &root.lower().join("base")] {
            let dir = rustix::fs::open(dir, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
            for op in before.iter().filter(|op| !leads_up(op) && !matches!(op, Op::Link(..))) {
                let _ = real(&dir, op);
            }
        }
        let before = host_names(&root.lower());
        let top = namespace(root.tree()).root();
        run(&top.open_at("base", DIRECTORY).unwrap(), &host, &ops)?;
        prop_assert_eq!(host_names(&root.lower()), before);
        drop(top);
        prop_assert_eq!(root.usage.used(), 0);
        prop_assert_eq!(root.budget.used(), 0);
        prop_assert!(host_names(&root.spool()).is_empty());
    }
}
