//! The compiled WebAssembly module of a policy, and the clock that interrupts it.

use std::path::Path;
use std::time::Duration;

use wapc::WapcHost;
use wasmtime_provider::wasmtime::{Config, Engine, EngineWeak, Module as Wasm, OptLevel};
use wasmtime_provider::{EpochDeadlines, WasmtimeEngineProviderBuilder, WasmtimeEngineProviderPre};

use crate::Error;
use crate::callback::Callback;

/// A compiled policy. It is cheap to clone. Every evaluation has its own instance.
#[derive(Clone)]
pub struct Module {
    pre: WasmtimeEngineProviderPre,
}

/// The reason why an instance could not be created.
pub(crate) enum StartError {
    /// `wapc_init` exceeded the evaluation limit.
    Deadline,
    Failed(String),
}

impl Module {
    /// The tick of the real host: policy-server counts the evaluation limit in seconds (`lib.rs`,
    /// `increment_epoch`).
    pub const TICK: Duration = Duration::from_secs(1);

    /// Reads and compiles a module.
    ///
    /// # Errors
    /// [`Error::Read`] if the file cannot be read, and [`Error::Module`] if it is not a waPC policy.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Self::compile(&path.display().to_string(), &bytes, Self::TICK)
    }

    /// Compiles a module in memory.
    ///
    /// # Errors
    /// [`Error::Module`] if the bytes are not a waPC policy.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        Self::with_tick(bytes, Self::TICK)
    }

    /// Like [`Module::from_bytes`], with another tick than the real host, so that tests of the evaluation
    /// limit are fast.
    ///
    /// # Errors
    /// [`Error::Module`] if the bytes are not a waPC policy.
    pub fn with_tick(bytes: &[u8], tick: Duration) -> Result<Self, Error> {
        Self::compile("the module", bytes, tick)
    }

    fn compile(origin: &str, bytes: &[u8], tick: Duration) -> Result<Self, Error> {
        let invalid = |reason: String| Error::Module { origin: origin.to_owned(), reason };
        let mut config = Config::new();
        config.epoch_interruption(true);
        // A module runs only a few requests, so compile time matters more than run time.
        config.cranelift_opt_level(OptLevel::None);
        let engine = Engine::new(&config).map_err(|error| invalid(format!("{error:#}")))?;
        let wasm = Wasm::new(&engine, bytes).map_err(|error| invalid(format!("{error:#}")))?;
        let pre = WasmtimeEngineProviderBuilder::new()
            .engine(engine.clone())
            .module(wasm)
            .build_pre()
            .map_err(|error| invalid(error.to_string()))?;
        spawn_ticker(engine.weak(), tick);
        Ok(Self { pre })
    }

    /// Creates an instance and runs its `wapc_init`, within `ticks`.
    pub(crate) fn instantiate(&self, callback: Callback, ticks: u64) -> Result<WapcHost, StartError> {
        let deadlines = EpochDeadlines { wapc_init: ticks, wapc_func: ticks };
        let provider =
            self.pre.rehydrate(Some(deadlines)).map_err(|error| StartError::Failed(error.to_string()))?;
        let host = WapcHost::new(
            Box::new(provider),
            Some(Box::new(move |_id, binding, namespace, operation, payload| {
                callback
                    .call(binding, namespace, operation, payload)
                    .map_err(|error| error.to_string().into())
            })),
        );
        host.map_err(|error| {
            let text = error.to_string();
            // policy-server detects this case by the same text (`api/service.rs`), because the error has no
            // type.
            if text.contains("init interrupted, execution deadline exceeded") {
                StartError::Deadline
            } else {
                StartError::Failed(text)
            }
        })
    }
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Module").finish_non_exhaustive()
    }
}

/// Starts the clock of an engine. As in policy-server, evaluations share it, so the first tick of an
/// evaluation can be shorter. The clock stops when the engine is dropped.
fn spawn_ticker(engine: EngineWeak, tick: Duration) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(tick);
            match engine.upgrade() {
                Some(engine) => engine.increment_epoch(),
                None => return,
            }
        }
    });
}
