//! The browser's timers, by whatever name window, worker and Node share.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use wasm_bindgen::prelude::{Closure, JsValue, wasm_bindgen};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(callback: &Closure<dyn FnMut()>, ms: i32) -> JsValue;

    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(timer: &JsValue);

    /// Milliseconds since some beginning.
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    pub(crate) fn performance_now() -> f64;
}

/// Calls back once, unless it is dropped before.
pub(crate) struct Timer {
    handle: JsValue,
    _callback: Closure<dyn FnMut()>,
}

impl Timer {
    pub(crate) fn new(span: Duration, callback: impl FnOnce() + 'static) -> Self {
        let callback = Closure::once(callback);
        let ms = i32::try_from(span.as_millis()).unwrap_or(i32::MAX);
        Self { handle: set_timeout(&callback, ms), _callback: callback }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        clear_timeout(&self.handle);
    }
}

/// Returns after this long.
pub(crate) fn sleep(span: Duration) -> Sleep {
    let state = Rc::new(RefCell::new(SleepState::default()));
    let rung = Rc::clone(&state);
    let timer = Timer::new(span, move || {
        let mut state = rung.borrow_mut();
        state.is_over = true;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    });
    Sleep { state, _timer: timer }
}

pub(crate) struct Sleep {
    state: Rc<RefCell<SleepState>>,
    _timer: Timer,
}

#[derive(Default)]
struct SleepState {
    is_over: bool,
    waker: Option<Waker>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.borrow_mut();
        if state.is_over {
            return Poll::Ready(());
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}
