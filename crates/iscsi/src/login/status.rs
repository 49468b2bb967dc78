//! How a login ends (RFC 7143 §11.13.5).

/// Class and detail of a login's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginStatus(u16);

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $words:literal;)*) => {
        impl LoginStatus {
            $($(#[$doc])* pub const $name: LoginStatus = LoginStatus($value);)*

            /// In words.
            pub fn words(self) -> &'static str {
                match self.0 { $($value => $words,)* _ => "unknown status" }
            }
        }
    };
}

statuses! {
    /// It goes on, or has succeeded.
    SUCCESS = 0x0000, "success";
    /// The initiator did something that the protocol does not allow.
    INITIATOR_ERROR = 0x0200, "initiator error";
    /// Or did not try to authenticate where that is required.
    AUTHENTICATION_FAILURE = 0x0201, "authentication failure";
    /// This initiator may not use this target.
    AUTHORIZATION_FAILURE = 0x0202, "not allowed to use this target";
    /// No target of that name.
    NOT_FOUND = 0x0203, "no such target";
    /// None of the initiator's versions is spoken here.
    UNSUPPORTED_VERSION = 0x0205, "unsupported version";
    /// InitiatorName or TargetName.
    MISSING_PARAMETER = 0x0207, "a name is missing";
    /// Neither Normal nor Discovery.
    SESSION_TYPE_NOT_SUPPORTED = 0x0209, "session type not supported";
    /// A connection for a session that is not there: sessions have one connection here.
    SESSION_DOES_NOT_EXIST = 0x020a, "no such session";
    /// Something other than a login request.
    INVALID_DURING_LOGIN = 0x020b, "invalid request during login";
    /// The house is full.
    OUT_OF_RESOURCES = 0x0302, "too many sessions";
}

impl LoginStatus {
    /// Status-Class.
    pub fn class(self) -> u8 {
        self.0.to_be_bytes()[0]
    }

    /// Status-Detail.
    pub fn detail(self) -> u8 {
        self.0.to_be_bytes()[1]
    }
}
