//! The table of error codes. The status of a code is the three digits behind `PR`; templates have parameters `{0}`, `{1}`.
//!
//! Those for statuses 413, 414, 423, 429, 431, 502 and 507, `PR400-MC-0005` to `PR400-MC-0009`, `PR403-DV-0006`,
//! `PR403-DV-0007` and `PR409-DV-0003` are our own, of the same form.

macro_rules! codes {
    ($($name:ident $code:literal $template:literal)+) => {
        /// An error code of the wire.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $(#[doc = concat!("`", $template, "`")] $name,)+ }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The text of the code: `PR404-DV-0001`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// The code of a text.
            pub fn of(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|code| code.as_str() == text)
            }

            /// The message with its parameters still open.
            pub fn template(self) -> &'static str {
                match self { $(Self::$name => $template,)+ }
            }
        }
    };
}

codes! {
    RequiredKeyMissing "PR400-CM-0001" "Required key [{0}] missing."
    FieldFormat "PR400-CM-0002" "Field [{0}] format error. Must be [{1}]."
    UnknownKey "PR400-CM-0003" "Unknown key [{0}] specified."
    JsonParse "PR400-CM-0004" "JSON parse error. [{0}]."
    UrlAuthority "PR400-CM-0005" "Invalid URL authority [{0}]. This unit is configured for URL authority [{1}]"
    MediaTypeNotAcceptable "PR406-CM-0001" "Requested media type [{0}] is not acceptable."
    CellImportFailed "PR409-CM-0001" "Cell status is [import failed]. Only Unit Level's APIs, CellImport and GetToken are executable."
    CellBusy "PR409-CM-0002" "Because [{0}] is being executed, writing to cell can not be done."
    RequestBodyLoad "PR500-CM-0001" "Failed to load the request body for some reason."
    FileIo "PR500-CM-0002" "Files I/O error caused [{0}] to fail."
    InternalUrl "PR500-CM-0003" "Invalid URL [{0}] is used internally."

    NotInSnapshot "PR400-MC-0001" "[{0}] does not exist in the snapshot file."
    PathCellUrl "PR400-MC-0002" "Path based CellUrl access is not allowed."
    SnapshotVersion "PR400-MC-0003" "Version of the snapshot file is invalid. Expected [{0}] but was [{1}]."
    SnapshotNotZip "PR400-MC-0004" "The specified snapshot file is not zip file."
    BodyIncomplete "PR400-MC-0005" "Request body is incomplete."
    TargetFragment "PR400-MC-0006" "The request target must not have a fragment."
    RequestHead "PR400-MC-0007" "The request line or a header field is malformed."
    PlainOnTls "PR400-MC-0008" "This port speaks HTTPS."
    SnapshotDamaged "PR400-MC-0009" "The snapshot file is damaged. [{0}]"
    UriNotRecognized "PR404-MC-0001" "URI is not recognized."
    MethodNotAllowed "PR405-MC-0001" "Method not allowed."
    RequestTimeout "PR408-MC-0001" "Request timeout in server."
    CellAccessed "PR409-MC-0001" "Cell to be processed is being accessed by other requests."
    OriginalCellExists "PR409-MC-0002" "Currently importing snapshot onto the original cell where the snapshot is exported is allowed. And, importing snapshot onto another cell is only allowed when the original cell no longer exists."
    PreconditionHeader "PR412-MC-0001" "Precondition failed [Header: {0}]."
    BodyTooLarge "PR413-MC-0001" "Request body is too large. The limit is [{0}] bytes."
    TargetTooLong "PR414-MC-0001" "The request target is too long."
    MediaTypeUnsupported "PR415-MC-0001" "Unsupported media type."
    TooManyRequests "PR429-MC-0001" "Too many requests."
    HeadTooLarge "PR431-MC-0001" "The header fields are too large or too many."
    MethodNotImplemented "PR501-MC-0001" "Method not implemented."
    NotImplemented "PR501-MC-0002" "Not implemented. [{0}]."

    XmlParse "PR400-DV-0001" "XML parse error."
    XmlContent "PR400-DV-0002" "XML content error."
    DepthHeader "PR400-DV-0003" "Invalid depth header value:[{0}]."
    RoleNotFound "PR400-DV-0004" "Role not found."
    BoxOfUrlNotFound "PR400-DV-0005" "Box not found url:[{0}]."
    XmlValidate "PR400-DV-0006" "XML validate error. Cause:[{0}]."
    TooManyChildren "PR400-DV-0007" "Cannot add any more child resources."
    TooDeep "PR400-DV-0008" "Hierarchy of the collection is too deep."
    HeaderValue "PR400-DV-0009" "Request header {0} value is invalid [{1}]."
    HeaderRequired "PR400-DV-0010" "Header {0} is required."
    MoveServiceSource "PR400-DV-0011" "Prohibited to move service source collection."
    OverwriteCollection "PR400-DV-0012" "Prohibited to overwrite collection resource."
    MoveIntoOData "PR400-DV-0013" "Prohibited to move resource to OData collection."
    MoveIntoFile "PR400-DV-0014" "Prohibited to move resource to file."
    MoveBox "PR400-DV-0015" "Prohibited to move box."
    MoveIntoService "PR400-DV-0016" "Prohibited to move resource to service collection."
    OverwriteServiceSource "PR400-DV-0017" "Prohibited to overwrite service source collection."
    CollectionInServiceSource "PR400-DV-0018" "Prohibited to create collection under service source collection."
    InfiniteDepth "PR403-DV-0001" "Infinite depth is not supported."
    CollectionNotEmpty "PR403-DV-0003" "Cannot delete collection if it has any child resources."
    ResourceName "PR403-DV-0004" "Resource name is invalid [{0}]."
    DestinationIsSource "PR403-DV-0005" "Destination header value [{0}] equals request URL."
    ReportUnsupported "PR403-DV-0006" "Report [{0}] is not supported."
    SyncToken "PR403-DV-0007" "Sync token is not valid."
    ResourceNotFound "PR404-DV-0001" "Resource not found. [{0}]."
    BoxNotFound "PR404-DV-0002" "Box not found at [{0}]."
    CellNotFound "PR404-DV-0003" "Cell not found."
    MkcolExists "PR405-DV-0001" "Method not allowed. MKCOL can only be executed on a deleted/non-existent resource."
    ParentMissing "PR409-DV-0001" "intermediate collection [{0}] should be created first."
    FileExists "PR409-DV-0002" "File [{0}] already exists."
    LockTokenElsewhere "PR409-DV-0003" "The lock token is not that of a lock on the resource."
    EtagMismatch "PR412-DV-0001" "ETag does not match."
    OverwriteRefused "PR412-DV-0002" "Overwrite header is \"F\" and the destination URL is already mapped to a resource."
    RangeNotSatisfiable "PR416-DV-0001" "Requested range not satisfiable."
    Locked "PR423-DV-0001" "Locked."
    FileSystemInconsistent "PR500-DV-0001" "File system inconsistency detected."
    DavInconsistent "PR500-DV-0002" "Dav system inconsistency detected."
    DestinationElsewhere "PR502-DV-0001" "Destination [{0}] is not on this unit."
    ConcurrentChange "PR503-DV-0001" "Failed to access the target resource due to concurrent update/delete operation by another process."
    QuotaExceeded "PR507-DV-0001" "Not enough space in the cell."
    DiskFull "PR507-DV-0002" "Not enough space on the disk."

    PasswordFormat "PR400-AU-0001" "Password format is invalid."
    RequestParameter "PR400-AU-0002" "Request parameter is invalid [{0}]."
    CredentialRequired "PR400-AU-0003" "Personium credential required."
    AuthorizationRequired "PR401-AU-0001" "Authorization required."
    TokenExpired "PR401-AU-0002" "Access token expired."
    AuthenticationScheme "PR401-AU-0003" "Invalid authentication scheme."
    BasicFormat "PR401-AU-0004" "Basic auth format error."
    AuthenticationFailed "PR401-AU-0005" "Authentication failed."
    TokenParse "PR401-AU-0006" "Token parse error."
    RefreshToken "PR401-AU-0007" "Can not access with refresh token."
    TokenSignature "PR401-AU-0008" "Token dsig error."
    CookieFailed "PR401-AU-0009" "Authentication failed."
    BasicLocked "PR401-AU-0010" "Authentication failed."
    BasicFailed "PR401-AU-0011" "Authentication failed."
    PasswordChangeToken "PR401-AU-0012" "Can not access with password change access token."
    UnitUserRequired "PR403-AU-0001" "Unit user access required."
    PrivilegeLacking "PR403-AU-0002" "Necessary privilege is lacking."
    NotTheOwner "PR403-AU-0003" "This resource can not be accessed by the Unit User specified in authorization header."
    SchemaRequired "PR403-AU-0004" "Schema authentication is required to access this resource."
    SchemaMismatch "PR403-AU-0005" "This resource can not be accessed with the schema that has been authenticated."
    SchemaLevel "PR403-AU-0006" "Insufficient schema authorization level."
    ScopeLacking "PR403-AU-0007" "Insufficient scope is granted for the access token. [{0}] Privilege is required."

    BarHeader "PR400-BI-0001" "Request header is not defined or invalid [{0}]."
    BarTooLarge "PR400-BI-0002" "Bar file size too large [{0}B]."
    BarEntryTooLarge "PR400-BI-0003" "Bar file entry size too large [{0}, {1}B]."
    BoxSchemaTaken "PR400-BI-0004" "Install target box is already registered as Box Schema[{0}]."
    BarEntrySize "PR400-BI-0005" "Bar file size invalid[{0}, {1}B]."
    BarEntryFormat "PR400-BI-0006" "[{0}] file format error."
    BarOpen "PR400-BI-0007" "Cannot open bar file [{0}]."
    BarRead "PR400-BI-0008" "Cannot read bar file [{0}]."
    BarStructure "PR400-BI-0009" "Invalid bar file structures [{0}]."
    BarVersion "PR400-BI-0010" "Bar file structure and bar_version do not match."
    BoxTaken "PR405-BI-0001" "Install target box is already registered [{0}]."

    ODataJson "PR400-OD-0001" "JSON parse error."
    ODataQuery "PR400-OD-0002" "OData Query parse error."
    ODataFilter "PR400-OD-0003" "OData $filter Parse Error."
    ODataKey "PR400-OD-0004" "OData EntityKey Parse error."
    ODataFormat "PR400-OD-0005" "$format value [{0}] is invalid."
    ODataField "PR400-OD-0006" "request body format error. field [{0}]"
    ODataUnknownField "PR400-OD-0007" "[{0}]"
    ODataNoAssociation "PR400-OD-0008" "No such association."
    ODataFieldRequired "PR400-OD-0009" "[{0}] is required."
    ODataLinksPostKey "PR400-OD-0010" "Key for Navigation Property should not be specified in $links POST."
    ODataLinksKey "PR400-OD-0011" "Key for Navigation Property should be specified in $links."
    ODataFieldType "PR400-OD-0012" "Specifying the type of [{0}] is invalid."
    ODataInlineCount "PR400-OD-0013" "$inlinecount value [{0}] is invalid."
    ODataOrderBy "PR400-OD-0015" "Odata $orderby parse error."
    ODataNullKey "PR400-OD-0016" "Single key should not be null."
    ODataSelect "PR400-OD-0017" "OData $select Parse error."
    ODataNoBox "PR400-OD-0024" "[{0}] does not exist."
    ODataNoEntity "PR400-OD-0025" "[{0}] does not exist."
    ODataExpand "PR400-OD-0026" "OData $expand parse error."
    ODataLinkKey "PR400-OD-0028" "OData EntityKey for $links parse error."
    ODataQueryValue "PR400-OD-0029" "Query value [{0}]=[{1}] is invalid."
    ODataMultiplicity "PR400-OD-0031" "Cannot create $links because multiplicity is [1:1]."
    ODataQueryOption "PR400-OD-0036" "OData Query [{0}] parse error."
    ODataLinkCount "PR400-OD-0038" "$links count exceeds the limit."
    ODataHeader "PR400-OD-0041" "Request header {0} value is invalid [{1}]."
    ODataOperation "PR400-OD-0042" "Operation is not supported: {0}"
    ODataOperator "PR400-OD-0043" "Unsupported operator specified in query."
    ODataFunction "PR400-OD-0044" "Unsupported function specified in query."
    ODataUnknownProperty "PR400-OD-0045" "An unknown property with name '{0}' was found."
    ODataOperandType "PR400-OD-0046" "Mismatched operand/argument is specified for '{0}'."
    ODataOperandFormat "PR400-OD-0047" "Operand or argument for '{0}' has unsupported/invalid format."
    ODataOperand "PR400-OD-0048" "Unable to parse operand or argument. '{0}'"
    ODataCellUrl "PR400-OD-0049" "[{0}] field format error. Cell URL should be normalized URL with http(s) scheme and trailing slash."
    ODataSchemaUri "PR400-OD-0050" "[{0}] field format error. Schema URI should be either normalized URL with http(s) scheme and trailing slash, or URN."
    ODataValue "PR400-OD-0051" "Query value is invalid."
    ODataNotFound "PR404-OD-0000" "Not found."
    NoEntitySet "PR404-OD-0001" "No such entity set."
    NoEntity "PR404-OD-0002" "No such entity."
    NoNavigation "PR404-OD-0003" "No such Navigation Property."
    ODataNotAcceptable "PR406-OD-0001" "Not Acceptable:[{0}]."
    EntityHasRelated "PR409-OD-0001" "This entity has related data."
    LinkExists "PR409-OD-0002" "Links exists already."
    EntityExists "PR409-OD-0003" "The entity already exists."
    EntityExistsNamed "PR409-OD-0004" "The entity already exists. [{0}]"
    EntityExistsLinked "PR409-OD-0005" "The entity already exists. [{0}]"
    IfMatchRequired "PR412-OD-0001" "If-Match header is required."
    EntityEtagMismatch "PR412-OD-0002" "ETag does not match."
    EntityConflict "PR412-OD-0003" "Conflict."
    ODataMediaType "PR415-OD-0001" "Unsupported media type:[{0}]."
    ODataInconsistent "PR500-OD-0002" "Internal data inconsistency detected."

    EventJson "PR400-EV-0001" "JSON parse error."
    RequestKey "PR400-EV-0002" "Request header is invalid [X-Personium-RequestKey]."
    EventRequired "PR400-EV-0003" "[{0}] is required."
    EventField "PR400-EV-0004" "[{0}] field format error."
    CurrentLogDelete "PR400-EV-0005" "Cannot delete current eventLog file."
    LogArchiveOpen "PR500-EV-0002" "Cannot open archive eventLog file."
    LogDelete "PR500-EV-0003" "Delete eventLog failed."

    PropertyNotConfigured "PR412-UI-0001" "Property [{0}] not configured."
    PropertyUrl "PR412-UI-0002" "Property settings error. [{0}] should be normalized URL with http(s), personium-localunit and personium-localcell scheme."
    PropertySettings "PR412-UI-0003" "Property settings error. [{0}]"
    RelayResponse "PR500-UI-0001" "Invalid HTTP response was returned from {0}."
    RelayConnect "PR500-UI-0002" "Could not connect to {0}."

    Unknown "PR500-SV-0000" "Unknown error."
    Datastore "PR500-SV-0002" "Datastore unknown error."
    FileSystemAccess "PR500-SV-0004" "File system access error [{0}]."
    UnknownException "PR500-SV-9999" "Unknown Exception [{0}]"
    TooConcurrent "PR503-SV-0001" "Too many concurrent requests."
    Maintenance "PR503-SV-0004" "Service is under maintenance [restoring]."
    DiskAlmostFull "PR503-SV-0005" "Operation is prohibited as one or more disks are almost full."
}
