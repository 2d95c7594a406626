//! A policy's compiled WebAssembly module, and the clock that interrupts it.

use std::path::Path;
use std::time::Duration;

use wapc::WapcHost;
use wasmtime_provider::wasmtime::{Config, Engine, EngineWeak, Module as Wasm, OptLevel};
use wasmtime_provider::{EpochDeadlines, WasmtimeEngineProviderBuilder, WasmtimeEngineProviderPre};

use crate::Error;
use crate::callback::Callback;

/// A compiled policy. Cheap to clone; every evaluation gets an instance of its own.
#[derive(Clone)]
pub struct Module {
    pre: WasmtimeEngineProviderPre,
}

/// Why an instance could not be made.
pub(crate) enum StartError {
    /// `wapc_init` ran into the evaluation limit.
    Deadline,
    Failed(String),
}

impl Module {
    /// The real host's tick: policy-server counts its evaluation limit in seconds (`lib.rs`, `increment_epoch`).
    pub const TICK: Duration = Duration::from_secs(1);

    /// Reads and compiles a module.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Module`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Self::compile(&path.display().to_string(), &bytes, Self::TICK)
    }

    /// Compiles a module that is in memory.
    ///
    /// # Errors
    /// [`Error::Module`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        Self::with_tick(bytes, Self::TICK)
    }

    /// Like [`Module::from_bytes`], with a tick other than the real host's: tests of the evaluation limit need not
    /// wait for seconds.
    ///
    /// # Errors
    /// [`Error::Module`].
    pub fn with_tick(bytes: &[u8], tick: Duration) -> Result<Self, Error> {
        Self::compile("the module", bytes, tick)
    }

    fn compile(origin: &str, bytes: &[u8], tick: Duration) -> Result<Self, Error> {
        let refuse = |reason: String| Error::Module { origin: origin.to_owned(), reason };
        let mut config = Config::new();
        config.epoch_interruption(true);
        // A module runs a few requests here, so compiling counts for more than running.
        config.cranelift_opt_level(OptLevel::None);
        let engine = Engine::new(&config).map_err(|error| refuse(format!("{error:#}")))?;
        let wasm = Wasm::new(&engine, bytes).map_err(|error| refuse(format!("{error:#}")))?;
        let pre = WasmtimeEngineProviderBuilder::new()
            .engine(engine.clone())
            .module(wasm)
            .build_pre()
            .map_err(|error| refuse(error.to_string()))?;
        spawn_ticker(engine.weak(), tick);
        Ok(Self { pre })
    }

    /// A fresh instance whose `wapc_init` has run, within `ticks`.
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
            // policy-server finds this case by the same words (`api/service.rs`): the error has no type.
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

/// One clock per engine, as in policy-server: the first tick of an evaluation can come early. It ends with the engine.
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
