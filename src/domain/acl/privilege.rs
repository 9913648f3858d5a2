//! The privileges of cells and boxes, their two trees, and sets of them as a number.

use crate::base::xml::{DAV, PERSONIUM};

/// Where a list stands, which decides what may be granted in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The list of a cell: everything may be granted; what boxes know then holds in every box.
    Cell,
    /// The list of a box or of something in it.
    Box,
}

/// What a privilege lets somebody do, for tokens that may only read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
    Execute,
    All,
}

macro_rules! privileges {
    ($($bit:literal $name:ident $text:literal $level:ident $ns:ident $parent:expr;)*) => {
        /// One privilege. The discriminant is its bit in [`Privileges`], which is stored: never change one.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Privilege {
            $($name = $bit,)*
        }

        impl Privilege {
            /// Every privilege, in the order of the bits.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The name in documents.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The namespace in documents that are written.
            pub const fn ns(self) -> &'static str {
                match self { $(Self::$name => $ns,)* }
            }

            /// The level whose requests ask for it.
            pub const fn level(self) -> Level {
                match self { $(Self::$name => Level::$level,)* }
            }

            /// The privilege that contains it.
            pub const fn parent(self) -> Option<Self> {
                match self { $(Self::$name => $parent,)* }
            }

            /// The privilege of a name, whatever its namespace.
            pub fn of(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$name),)* _ => None }
            }
        }
    };
}

privileges! {
    0 All "all" Box DAV Some(Self::Root);
    1 Read "read" Box DAV Some(Self::All);
    2 ReadProperties "read-properties" Box DAV Some(Self::Read);
    3 ReadAcl "read-acl" Box DAV Some(Self::All);
    4 Write "write" Box DAV Some(Self::All);
    5 Bind "bind" Box DAV Some(Self::Write);
    6 Unbind "unbind" Box DAV Some(Self::Write);
    7 WriteContent "write-content" Box DAV Some(Self::Write);
    8 WriteProperties "write-properties" Box DAV Some(Self::Write);
    9 WriteAcl "write-acl" Box DAV Some(Self::All);
    10 Exec "exec" Box PERSONIUM Some(Self::All);
    11 AlterSchema "alter-schema" Box DAV Some(Self::All);
    12 StreamSend "stream-send" Box PERSONIUM Some(Self::All);
    13 StreamReceive "stream-receive" Box PERSONIUM Some(Self::All);
    32 Root "root" Cell PERSONIUM None;
    33 Auth "auth" Cell PERSONIUM Some(Self::Root);
    34 AuthRead "auth-read" Cell PERSONIUM Some(Self::Auth);
    35 Message "message" Cell PERSONIUM Some(Self::Root);
    36 MessageRead "message-read" Cell PERSONIUM Some(Self::Message);
    37 Event "event" Cell PERSONIUM Some(Self::Root);
    38 EventRead "event-read" Cell PERSONIUM Some(Self::Event);
    39 Log "log" Cell PERSONIUM Some(Self::Root);
    40 LogRead "log-read" Cell PERSONIUM Some(Self::Log);
    41 Social "social" Cell PERSONIUM Some(Self::Root);
    42 SocialRead "social-read" Cell PERSONIUM Some(Self::Social);
    43 Box "box" Cell PERSONIUM Some(Self::Root);
    44 BoxRead "box-read" Cell PERSONIUM Some(Self::Box);
    45 BoxInstall "box-install" Cell PERSONIUM Some(Self::Box);
    46 Acl "acl" Cell PERSONIUM Some(Self::Root);
    47 AclRead "acl-read" Cell PERSONIUM Some(Self::Acl);
    48 Propfind "propfind" Cell PERSONIUM Some(Self::Root);
    49 Rule "rule" Cell PERSONIUM Some(Self::Root);
    50 RuleRead "rule-read" Cell PERSONIUM Some(Self::Rule);
    51 Sign "sign" Cell PERSONIUM Some(Self::Root);
}

impl Privilege {
    /// Whether a list at `level` may grant it.
    pub fn settable(self, level: Level) -> bool {
        level == Level::Cell || self.level() == Level::Box
    }

    /// What kind of access it is.
    pub const fn access(self) -> Access {
        match self {
            Self::Root | Self::All => Access::All,
            Self::Exec | Self::Sign => Access::Execute,
            Self::Read
            | Self::ReadProperties
            | Self::ReadAcl
            | Self::StreamReceive
            | Self::Propfind
            | Self::AuthRead
            | Self::MessageRead
            | Self::EventRead
            | Self::LogRead
            | Self::SocialRead
            | Self::BoxRead
            | Self::AclRead
            | Self::RuleRead => Access::Read,
            _ => Access::Write,
        }
    }

    const fn bit(self) -> u64 {
        1 << self as u8
    }
}

/// A set of privileges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Privileges(u64);

impl Privileges {
    /// The set that a stored number stands for; bits that mean nothing are dropped.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits & Privilege::ALL.iter().map(|p| p.bit()).sum::<u64>())
    }

    /// The number to store; it fits an `i64`.
    pub const fn bits(self) -> u64 {
        self.0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn insert(&mut self, privilege: Privilege) {
        self.0 |= privilege.bit();
    }

    /// The privileges that are named, in the order of their bits.
    pub fn iter(self) -> impl Iterator<Item = Privilege> {
        Privilege::ALL.iter().copied().filter(move |p| self.0 & p.bit() != 0)
    }

    /// Whether these, granted to a role, contain `needed`: by its name, or by that of a privilege above it.
    pub fn grant(self, needed: Privilege) -> bool {
        self.contain(needed, false)
    }

    /// Whether these, granted to everybody, contain `needed`: `root` for all opens the cell but not its boxes.
    pub fn grant_to_all(self, needed: Privilege) -> bool {
        self.contain(needed, true)
    }

    fn contain(self, needed: Privilege, to_all: bool) -> bool {
        let mut at = Some(needed);
        while let Some(privilege) = at {
            if self.0 & privilege.bit() != 0 {
                return true;
            }
            at = privilege.parent().filter(|_| !(to_all && privilege == Privilege::All));
        }
        false
    }
}

impl FromIterator<Privilege> for Privileges {
    fn from_iter<I: IntoIterator<Item = Privilege>>(privileges: I) -> Self {
        let mut set = Self::default();
        privileges.into_iter().for_each(|p| set.insert(p));
        set
    }
}
