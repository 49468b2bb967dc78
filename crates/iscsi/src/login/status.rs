//! Status of a login response (RFC 7143 §11.13.5).

/// Status-Class and Status-Detail of a login response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LoginStatus {
    class: u8,
    detail: u8,
}

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $class:literal, $detail:literal, $words:literal;)*) => {
        impl LoginStatus {
            $($(#[$doc])* pub const $name: LoginStatus = LoginStatus { class: $class, detail: $detail };)*

            /// What it means, in the standard's words.
            pub fn words(self) -> &'static str {
                match (self.class, self.detail) {
                    $(($class, $detail) => $words,)*
                    _ => "unknown status",
                }
            }
        }
    };
}

statuses! {
    /// The login goes on, or has succeeded.
    SUCCESS = 0x00, 0x00, "success";
    /// The target is elsewhere for now.
    TARGET_MOVED_TEMPORARILY = 0x01, 0x01, "target moved temporarily";
    /// The target is elsewhere for good.
    TARGET_MOVED_PERMANENTLY = 0x01, 0x02, "target moved permanently";
    /// The initiator broke a rule.
    INITIATOR_ERROR = 0x02, 0x00, "initiator error";
    /// The initiator has not shown who it is.
    AUTHENTICATION_FAILURE = 0x02, 0x01, "authentication failure";
    /// The initiator may not use this target.
    AUTHORIZATION_FAILURE = 0x02, 0x02, "authorization failure";
    /// There is no such target here.
    NOT_FOUND = 0x02, 0x03, "not found";
    /// The target was here once.
    TARGET_REMOVED = 0x02, 0x04, "target removed";
    /// Not version 0.
    UNSUPPORTED_VERSION = 0x02, 0x05, "unsupported version";
    /// No more connections in this session.
    TOO_MANY_CONNECTIONS = 0x02, 0x06, "too many connections";
    /// A name, or a key that this step needs, did not come.
    MISSING_PARAMETER = 0x02, 0x07, "missing parameter";
    /// The session can't span to this address.
    CANT_INCLUDE_IN_SESSION = 0x02, 0x08, "can't include in session";
    /// Not this type of session.
    SESSION_TYPE_NOT_SUPPORTED = 0x02, 0x09, "session type not supported";
    /// The connection was to join a session that is not there.
    SESSION_DOES_NOT_EXIST = 0x02, 0x0a, "session does not exist";
    /// Something else than a login request came.
    INVALID_DURING_LOGIN = 0x02, 0x0b, "invalid during login";
    /// Something is wrong on our side.
    TARGET_ERROR = 0x03, 0x00, "target error";
    /// Not serving at the moment.
    SERVICE_UNAVAILABLE = 0x03, 0x01, "service unavailable";
    /// No room for another session.
    OUT_OF_RESOURCES = 0x03, 0x02, "out of resources";
}

impl LoginStatus {
    /// What stands on the wire, whether or not the standard has it.
    pub const fn of(class: u8, detail: u8) -> Self {
        LoginStatus { class, detail }
    }

    /// Status-Class: 0 success, 1 redirection, 2 initiator error, 3 target error.
    pub const fn class(self) -> u8 {
        self.class
    }

    /// Status-Detail.
    pub const fn detail(self) -> u8 {
        self.detail
    }
}

impl std::fmt::Display for LoginStatus {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} ({:02x}{:02x})", self.words(), self.class, self.detail)
    }
}
