//! What an error says, in one line for a log.

use std::error::Error;

use kube::core::Status;

/// The API server's own message where one is at the bottom of it, else the error's.
///
/// kube's errors print all fields of a Status after its message.
pub fn said(error: &(dyn Error + 'static)) -> String {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let status =
            error.downcast_ref::<Status>().or_else(|| error.downcast_ref::<Box<Status>>().map(AsRef::as_ref));
        if let Some(status) = status.filter(|status| !status.message.is_empty()) {
            return status.message.clone();
        }
        cause = error.source();
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_servers_message() {
        let status = Status { code: 403, message: "you may not".to_owned(), ..Status::default() };
        let error = kube::runtime::watcher::Error::InitialListFailed(kube::Error::Api(Box::new(status)));
        assert_eq!(said(&error), "you may not");
        assert_eq!(said(&std::io::Error::other("broken")), "broken");
    }
}
