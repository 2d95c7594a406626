//! Counts the wasm instructions and the memory of one call of a policy, for budgets in tests.
//!
//! wasmtime-provider does not expose fuel, so this is a separate waPC host on wasmtime, with the protocol of
//! <https://wapc.io/docs/spec/>. The count is wasmtime's fuel, about one unit per instruction. It includes
//! instantiation, `wapc_init` and the call, and does not depend on the machine.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use wasmtime_provider::wasmtime::error::format_err;
use wasmtime_provider::wasmtime::{
    Caller, Config, Engine, InstancePre, Linker, Memory, Module, Result as Wasm, Store,
};
use wasmtime_provider::wasmtime_wasi::p1::{WasiP1Ctx, add_to_linker_sync};
use wasmtime_provider::wasmtime_wasi::{Deterministic, WasiCtxBuilder};

use crate::callback::Callback;
use crate::request::{ValidateRequest, settings as settings_object};
use crate::{Cluster, Error, Grants, Lookup};

/// More fuel than any policy can use within the real host's evaluation limit.
const FUEL: u64 = 50_000_000_000;

/// A policy that is compiled for counting.
pub struct Meter {
    engine: Engine,
    pre: InstancePre<State>,
}

/// The result of one counted call.
#[derive(Debug, Clone)]
pub struct Count {
    /// The fuel that was used.
    pub instructions: u64,
    /// The bytes of the instance's memory at the end. It never shrinks, so this is also the most that it used.
    pub memory: usize,
    /// The policy's answer: the bytes, or its error.
    pub answer: Result<Vec<u8>, String>,
    /// The policy's lookups.
    pub lookups: Vec<Lookup>,
}

struct State {
    wasi: WasiP1Ctx,
    callback: Callback,
    operation: Vec<u8>,
    payload: Vec<u8>,
    answer: Option<Vec<u8>>,
    guest_error: Option<String>,
    host_response: Vec<u8>,
    host_error: Vec<u8>,
}

impl Meter {
    /// Compiles a module.
    ///
    /// # Errors
    /// [`Error::Module`] if the bytes are not a waPC policy.
    pub fn new(wasm: &[u8]) -> Result<Self, Error> {
        let compile = || -> Wasm<Self> {
            let mut config = Config::new();
            config.consume_fuel(true);
            let engine = Engine::new(&config)?;
            let mut linker = Linker::new(&engine);
            add_to_linker_sync(&mut linker, |state: &mut State| &mut state.wasi)?;
            link_wapc(&mut linker)?;
            let pre = linker.instantiate_pre(&Module::new(&engine, wasm)?)?;
            Ok(Self { engine, pre })
        };
        compile()
            .map_err(|error| Error::Module { origin: "the module".to_owned(), reason: format!("{error:#}") })
    }

    /// Counts the evaluation of a request, with the same payload as [`crate::Host::validate`].
    ///
    /// # Errors
    /// [`Error::Request`] if the request cannot be read, [`Error::Settings`] if the settings are not an
    /// object, and [`Error::Start`] if the module cannot be instantiated or traps.
    pub fn validate(
        &self,
        request: &Value,
        settings: &Value,
        grants: &Grants,
        cluster: Arc<dyn Cluster>,
    ) -> Result<Count, Error> {
        let payload = ValidateRequest::kubernetes(request)?.payload(&settings_object(settings)?);
        self.count("validate", &payload, grants, cluster)
    }

    /// Runs one call on a new instance.
    ///
    /// # Errors
    /// [`Error::Start`] if the module cannot be instantiated or traps.
    pub fn count(
        &self,
        operation: &str,
        payload: &[u8],
        grants: &Grants,
        cluster: Arc<dyn Cluster>,
    ) -> Result<Count, Error> {
        let lookups = Arc::new(Mutex::new(Vec::new()));
        let state = State {
            // The seeds of hash maps change what lookups in them cost.
            wasi: WasiCtxBuilder::new().secure_random(Deterministic::new(vec![0])).build_p1(),
            callback: Callback::new(grants.clone(), cluster, lookups.clone()),
            operation: operation.as_bytes().to_vec(),
            payload: payload.to_vec(),
            answer: None,
            guest_error: None,
            host_response: Vec::new(),
            host_error: Vec::new(),
        };
        let mut store = Store::new(&self.engine, state);
        let mut run = || -> Wasm<(bool, u64, usize)> {
            store.set_fuel(FUEL)?;
            let instance = self.pre.instantiate(&mut store)?;
            for start in ["_start", "wapc_init"] {
                if let Ok(start) = instance.get_typed_func::<(), ()>(&mut store, start) {
                    start.call(&mut store, ())?;
                }
            }
            let call = instance.get_typed_func::<(i32, i32), i32>(&mut store, "__guest_call")?;
            let lengths = (i32::try_from(operation.len())?, i32::try_from(payload.len())?);
            let succeeded = call.call(&mut store, lengths)? != 0;
            let instructions = FUEL - store.get_fuel()?;
            let memory =
                instance.get_memory(&mut store, "memory").map_or(0, |memory| memory.data_size(&store));
            Ok((succeeded, instructions, memory))
        };
        let (succeeded, instructions, memory) = run().map_err(|error| Error::Start(format!("{error:#}")))?;
        let state = store.into_data();
        let answer = match (succeeded, state.answer) {
            (true, Some(answer)) => Ok(answer),
            _ => Err(state.guest_error.unwrap_or_else(|| "no answer".to_owned())),
        };
        let lookups = std::mem::take(&mut *lookups.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
        Ok(Count { instructions, memory, answer, lookups })
    }
}

fn link_wapc(linker: &mut Linker<State>) -> Wasm<()> {
    linker
        .func_wrap(
            "wapc",
            "__guest_request",
            |mut caller: Caller<'_, State>, operation: i32, payload: i32| {
                let (name, body) = (caller.data().operation.clone(), caller.data().payload.clone());
                write(&mut caller, operation, &name)?;
                write(&mut caller, payload, &body)
            },
        )?
        .func_wrap("wapc", "__guest_response", |mut caller: Caller<'_, State>, at: i32, length: i32| {
            caller.data_mut().answer = Some(read(&mut caller, at, length)?);
            Ok(())
        })?
        .func_wrap("wapc", "__guest_error", |mut caller: Caller<'_, State>, at: i32, length: i32| {
            let text = read(&mut caller, at, length)?;
            caller.data_mut().guest_error = Some(String::from_utf8_lossy(&text).into_owned());
            Ok(())
        })?
        .func_wrap("wapc", "__console_log", |_: i32, _: i32| {})?
        .func_wrap("wapc", "__host_call", host_call)?
        .func_wrap("wapc", "__host_response", |mut caller: Caller<'_, State>, at: i32| {
            let bytes = caller.data().host_response.clone();
            write(&mut caller, at, &bytes)
        })?
        .func_wrap("wapc", "__host_response_len", |caller: Caller<'_, State>| {
            Ok(i32::try_from(caller.data().host_response.len())?)
        })?
        .func_wrap("wapc", "__host_error", |mut caller: Caller<'_, State>, at: i32| {
            let bytes = caller.data().host_error.clone();
            write(&mut caller, at, &bytes)
        })?
        .func_wrap("wapc", "__host_error_len", |caller: Caller<'_, State>| {
            Ok(i32::try_from(caller.data().host_error.len())?)
        })?;
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "waPC defines the signature")]
fn host_call(
    mut caller: Caller<'_, State>,
    binding: i32,
    binding_length: i32,
    namespace: i32,
    namespace_length: i32,
    operation: i32,
    operation_length: i32,
    payload: i32,
    payload_length: i32,
) -> Wasm<i32> {
    let mut text = |at, length| {
        Ok::<_, wasmtime_provider::wasmtime::Error>(String::from_utf8(read(&mut caller, at, length)?)?)
    };
    let binding = text(binding, binding_length)?;
    let namespace = text(namespace, namespace_length)?;
    let operation = text(operation, operation_length)?;
    let payload = read(&mut caller, payload, payload_length)?;
    let state = caller.data_mut();
    state.host_response.clear();
    state.host_error.clear();
    Ok(match state.callback.call(&binding, &namespace, &operation, &payload) {
        Ok(answer) => {
            state.host_response = answer;
            1
        }
        Err(error) => {
            state.host_error = error.to_string().into_bytes();
            0
        }
    })
}

fn memory(caller: &mut Caller<'_, State>) -> Wasm<Memory> {
    caller
        .get_export("memory")
        .and_then(|export| export.into_memory())
        .ok_or_else(|| format_err!("no memory"))
}

fn read(caller: &mut Caller<'_, State>, at: i32, length: i32) -> Wasm<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length)?];
    memory(caller)?.read(&*caller, usize::try_from(at)?, &mut bytes)?;
    Ok(bytes)
}

fn write(caller: &mut Caller<'_, State>, at: i32, bytes: &[u8]) -> Wasm<()> {
    memory(caller)?.write(caller, usize::try_from(at)?, bytes)?;
    Ok(())
}
