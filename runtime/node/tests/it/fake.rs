//! A backend whose guests do what their arguments say.
//!
//! | argument | the guest |
//! |---|---|
//! | `write TEXT` | writes a line |
//! | `flood N` | writes `N` lines |
//! | `wait` | runs until it is asked to stop |
//! | `ignore` | runs until it is killed |
//! | `say PATH TEXT` | writes a file |
//! | `remove PATH` | removes a file |
//! | `sleep N` | lets so many seconds go by, whatever it is asked |
//! | `fill PATH BYTES` | writes so many bytes into a new file, or as many as it may |
//! | `burn MILLIS` | uses so much CPU time at once, and then waits for as long |
//! | `exit N` | ends |
//! | `exhaust` | executes all of its fuel |
//! | `hang-create`, `fail-create`, `fail-start` | does not get that far |
//!
//! | a second program | |
//! |---|---|
//! | `end N TEXT` | writes a line, and ends |
//! | `hang` | runs until it is killed |
//! | `cat PATH` | finds a file; ends with 1 where there is none |
//! | anything else | does not exist |

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use nacelle_container::output::{Chunk, OutputSender, Stream};
use nacelle_container::stats::{CpuStats, MemoryStats, Stats};
use nacelle_container::{
    Backend, Container, ContainerConfig, ContainerId, ContainerInfra, Cpu, CreateError, ExecError, ExecRequest,
    ExitCause, PodLimits, PodUid, Resources, UpdateError,
};
use nacelle_infra::fs::{MountNamespace, OpenHow};
use tokio::io::AsyncRead;
use tokio::sync::watch;

/// What a container was made from.
struct Created {
    config: ContainerConfig,
    /// Until the container is removed: files in memory must go with it.
    infra: Option<ContainerInfra>,
}

/// Remembers what it was asked to create.
#[derive(Default)]
pub(crate) struct FakeBackend {
    created: Arc<Mutex<Vec<Created>>>,
    /// What containers and pods were given while they ran, in order; what was refused is not in it.
    pub(crate) updates: Arc<Mutex<Vec<Given>>>,
    /// The periods that guests were asked to stop within, in order.
    pub(crate) graces: Arc<Mutex<Vec<Duration>>>,
    /// Bytes of memory that every guest uses.
    pub(crate) in_use: Arc<Mutex<u64>>,
    /// The second programs that were asked for.
    execs: Arc<Mutex<Vec<String>>>,
    /// How many creations were begun.
    pub(crate) creations: watch::Sender<usize>,
}

/// Something that was given other resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    Pod(Cpu),
    Container(String, Resources),
}

impl FakeBackend {
    /// What was created, in order.
    pub(crate) fn configs(&self) -> Vec<ContainerConfig> {
        self.created.lock().unwrap().iter().map(|created| created.config.clone()).collect()
    }

    /// The second programs that were asked for, in order.
    pub(crate) fn execs(&self) -> Vec<String> {
        self.execs.lock().unwrap().clone()
    }

    /// What the latest container of that name was given of its pod.
    pub(crate) fn infra(&self, container: &str) -> ContainerInfra {
        let created = self.created.lock().unwrap();
        let latest = created.iter().rfind(|created| created.config.id.name == container);
        latest.expect("a container").infra.clone().expect("one that is not removed")
    }
}

#[async_trait]
impl Backend for FakeBackend {
    async fn create(
        &self,
        config: ContainerConfig,
        infra: ContainerInfra,
        _: Option<Box<dyn AsyncRead + Send + Unpin>>,
        output: OutputSender,
    ) -> Result<Arc<dyn Container>, CreateError> {
        let (script, id, name) = (config.argv.clone(), config.id.clone(), config.id.name.clone());
        self.created.lock().unwrap().push(Created { config, infra: Some(infra.clone()) });
        self.creations.send_modify(|creations| *creations += 1);
        if script.iter().any(|word| word == "hang-create") {
            std::future::pending::<()>().await;
        }
        if script.iter().any(|word| word == "fail-create") {
            return Err(CreateError::Other("cannot be created".into()));
        }
        let guest = FakeContainer {
            id,
            created: Arc::clone(&self.created),
            name,
            script,
            updates: Arc::clone(&self.updates),
            in_use: Arc::clone(&self.in_use),
            files: infra.files,
            execs: Arc::clone(&self.execs),
            cpu: Arc::default(),
            output: Mutex::new(Some(output)),
            terminate: watch::Sender::new(false),
            graces: Arc::clone(&self.graces),
            kill: watch::Sender::new(false),
            end: watch::Sender::new(None),
        };
        Ok(Arc::new(guest))
    }

    async fn update_pod(&self, _: &PodUid, limits: &PodLimits) -> Result<(), UpdateError> {
        self.updates.lock().unwrap().push(Given::Pod(limits.cpu));
        Ok(())
    }

    fn pod_cpu(&self, _: &PodUid) -> CpuStats {
        CpuStats::default()
    }
}

struct FakeContainer {
    id: ContainerId,
    created: Arc<Mutex<Vec<Created>>>,
    name: String,
    updates: Arc<Mutex<Vec<Given>>>,
    in_use: Arc<Mutex<u64>>,
    script: Vec<String>,
    files: Arc<MountNamespace>,
    execs: Arc<Mutex<Vec<String>>>,
    cpu: Arc<AtomicU64>,
    output: Mutex<Option<OutputSender>>,
    terminate: watch::Sender<bool>,
    graces: Arc<Mutex<Vec<Duration>>>,
    kill: watch::Sender<bool>,
    end: watch::Sender<Option<ExitCause>>,
}

#[async_trait]
impl Container for FakeContainer {
    async fn start(&self) -> Result<(), CreateError> {
        if self.script.iter().any(|word| word == "fail-start") {
            self.output.lock().unwrap().take();
            return Err(CreateError::Other("cannot be started".into()));
        }
        let output = self.output.lock().unwrap().take().unwrap();
        let (terminate, mut kill) = (self.terminate.subscribe(), self.kill.subscribe());
        let (script, files, end) = (self.script.clone(), Arc::clone(&self.files), self.end.clone());
        let cpu = Arc::clone(&self.cpu);
        tokio::spawn(async move {
            let cause = tokio::select! {
                biased;
                _ = kill.wait_for(|kill| *kill) => ExitCause::Stopped { graceful: false },
                cause = play(script, files, cpu, output, terminate) => cause,
            };
            end.send_replace(Some(cause));
        });
        Ok(())
    }

    async fn exec(&self, request: ExecRequest, output: OutputSender) -> Result<ExitCause, ExecError> {
        let argv: Vec<&str> = request.argv.iter().map(String::as_str).collect();
        self.execs.lock().unwrap().push(argv.join(" "));
        match argv[..] {
            ["end", code, text] => {
                write(&output, text.to_owned()).await;
                Ok(ExitCause::Exited { code: code.parse().unwrap() })
            }
            ["hang"] => std::future::pending().await,
            ["cat", path] => {
                let how = OpenHow { read: true, follow: true, ..OpenHow::default() };
                let found = self.files.open(path, how);
                let text = if found.is_ok() { String::new() } else { format!("cat: can't open '{path}'") };
                write(&output, text).await;
                Ok(ExitCause::Exited { code: u8::from(found.is_err()) })
            }
            _ => Err(ExecError::NotFound { program: argv.join(" "), reason: "not found".into() }),
        }
    }

    async fn terminate(&self, grace: Duration) {
        self.terminate.send_replace(true);
        self.graces.lock().unwrap().push(grace);
    }

    async fn kill(&self) {
        self.kill.send_replace(true);
    }

    async fn wait(&self) -> ExitCause {
        self.end.subscribe().wait_for(Option::is_some).await.unwrap().clone().unwrap()
    }

    fn stats(&self) -> Stats {
        let cpu = CpuStats { usage_nanos: self.cpu.load(Ordering::Relaxed), ..CpuStats::default() };
        let memory = MemoryStats { usage: 1 << 20, linear: 1 << 20, ..MemoryStats::default() };
        Stats { cpu, memory, fuel: None, processes: u32::from(self.end.borrow().is_none()) }
    }

    async fn update(&self, resources: &Resources) -> Result<(), UpdateError> {
        let used = *self.in_use.lock().unwrap();
        if let Some(limit) = resources.memory.filter(|limit| *limit < used) {
            return Err(UpdateError::MemoryInUse { limit, used });
        }
        self.updates.lock().unwrap().push(Given::Container(self.name.clone(), *resources));
        Ok(())
    }

    async fn remove(&self) {
        self.kill().await;
        for created in self.created.lock().unwrap().iter_mut().filter(|created| created.config.id == self.id) {
            created.infra = None;
        }
    }
}

async fn write(output: &OutputSender, text: String) {
    let time = "2026-01-01T00:00:00Z".parse().unwrap();
    // The host reads until the last sender is gone.
    output.send(Box::new(Chunk { stream: Stream::Stdout, time, bytes: (text + "\n").into() })).await.unwrap();
}

async fn play(
    script: Vec<String>,
    files: Arc<MountNamespace>,
    cpu: Arc<AtomicU64>,
    output: OutputSender,
    mut terminate: watch::Receiver<bool>,
) -> ExitCause {
    for word in script {
        match word.split_once(' ').unwrap_or((&word, "")) {
            ("write", text) => write(&output, text.to_owned()).await,
            ("flood", count) => {
                for line in 0..count.parse::<usize>().unwrap() {
                    write(&output, line.to_string()).await;
                }
            }
            ("say", file) => {
                let (path, text) = file.split_once(' ').unwrap();
                let how = OpenHow { create: true, write: true, follow: true, ..OpenHow::default() };
                files.open(path, how).unwrap().write_at(0, text.as_bytes()).unwrap();
            }
            ("remove", path) => files.root().unlink_file_at(path.trim_start_matches('/')).unwrap(),
            ("sleep", seconds) => tokio::time::sleep(Duration::from_secs(seconds.parse().unwrap())).await,
            ("fill", file) => {
                let (path, bytes) = file.split_once(' ').unwrap();
                fill(&files, path, bytes.parse().unwrap());
            }
            ("burn", millis) => {
                let time = Duration::from_millis(millis.parse().unwrap());
                cpu.fetch_add(u64::try_from(time.as_nanos()).unwrap(), Ordering::Relaxed);
                tokio::time::sleep(time).await;
            }
            ("wait", _) => {
                terminate.wait_for(|asked| *asked).await.unwrap();
                return ExitCause::Stopped { graceful: true };
            }
            ("ignore", _) => std::future::pending().await,
            ("exhaust", _) => return ExitCause::FuelExhausted { limit: 1000 },
            ("exit", code) => return ExitCause::Exited { code: code.parse().unwrap() },
            _ => {}
        }
    }
    ExitCause::Exited { code: 0 }
}

fn fill(files: &Arc<MountNamespace>, path: &str, bytes: u64) {
    let how = OpenHow { create: true, write: true, follow: true, ..OpenHow::default() };
    let file = files.open(path, how).unwrap();
    let chunk = [b'x'; 4096];
    for offset in (0..bytes).step_by(chunk.len()) {
        if file.write_at(offset, &chunk).is_err() {
            return;
        }
    }
}

/// The content of a file in a container.
pub(crate) fn read(infra: &ContainerInfra, path: &str) -> String {
    let how = OpenHow { read: true, follow: true, ..OpenHow::default() };
    let file = infra.files.open(path, how).unwrap_or_else(|error| panic!("{path}: {error}"));
    String::from_utf8(file.read_bytes_at(0, 1 << 20).unwrap().to_vec()).unwrap()
}
