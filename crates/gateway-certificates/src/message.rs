//! Error messages for the log, in one line.

use std::error::Error;

use kube::core::Status;

/// The message of the API server if the error contains one, else the message of the error.
///
/// The messages of kube's errors contain all fields of a Status.
pub fn message(error: &(dyn Error + 'static)) -> String {
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
        assert_eq!(message(&error), "you may not");
        assert_eq!(message(&std::io::Error::other("broken")), "broken");
    }
}
