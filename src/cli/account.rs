//! `cellar account`: accounts, their roles and their drive passwords.

use serde_json::json;

use super::args::people::{AccountArgs, AccountVerb, DrivePasswordVerb};
use super::error::Error;
use super::exit::Exit;
use super::objects::{done, key, list, set};
use super::printer::Printer;
use super::remote::{Remote, secret};

const PASSWORD: &str = "CELLAR_PASSWORD";
const CREDENTIAL: &str = "x-personium-credential";

pub(super) fn run(args: &AccountArgs, printer: &Printer) -> Result<Exit, Error> {
    let remote = Remote::open(&args.place)?;
    let json = args.place.json;
    match &args.verb {
        AccountVerb::Ls { cell } => {
            list(&remote, printer, &set(cell, "Account"), &["Name", "Status", "Type", "IPAddressRange"], json)?;
        }
        AccountVerb::Add { cell, name, status, addresses, no_password } => {
            let body = json!({ "Name": name, "Status": status, "IPAddressRange": addresses }).to_string();
            let password = if *no_password { None } else { Some(secret(PASSWORD, "Password")?) };
            let headers: Vec<(&str, &str)> = password.iter().map(|p| (CREDENTIAL, p.as_str())).collect();
            remote.send("POST", &set(cell, "Account"), &headers, body)?;
            done(printer, json, &format!("{name} is an account of {cell}"))?;
        }
        AccountVerb::Status { cell, name, status } => {
            let body = json!({ "Status": status }).to_string();
            remote.send("MERGE", &format!("{}{}", set(cell, "Account"), key(name, None)), &[], body)?;
            done(printer, json, &format!("{name} is {status}"))?;
        }
        AccountVerb::Password { cell, name } => {
            let password = secret(PASSWORD, "New password")?;
            let path = format!("{}{}", set(cell, "Account"), key(name, None));
            remote.send("MERGE", &path, &[(CREDENTIAL, &password)], "{}".to_owned())?;
            done(printer, json, &format!("{name} has another password"))?;
        }
        AccountVerb::Rm { cell, name } => {
            remote.send("DELETE", &format!("{}{}", set(cell, "Account"), key(name, None)), &[], String::new())?;
            done(printer, json, &format!("{name} is no account any more"))?;
        }
        AccountVerb::Grant { cell, name, role, cell_box } => {
            let path = format!("{}{}/$links/_Role", set(cell, "Account"), key(name, None));
            let uri = format!("{}__ctl/Role{}", remote.cell(cell), key(role, cell_box.as_deref()));
            remote.send("POST", &path, &[], json!({ "uri": uri }).to_string())?;
            done(printer, json, &format!("{name} has the role {role}"))?;
        }
        AccountVerb::Revoke { cell, name, role, cell_box } => {
            let role_key = key(role, cell_box.as_deref());
            let path = format!("{}{}/$links/_Role{role_key}", set(cell, "Account"), key(name, None));
            remote.send("DELETE", &path, &[], String::new())?;
            done(printer, json, &format!("{name} has the role {role} no more"))?;
        }
        AccountVerb::DrivePassword(verb) => drive_password(&remote, verb, printer, json)?,
    }
    Ok(Exit::Ok)
}

fn drive_password(remote: &Remote, verb: &DrivePasswordVerb, printer: &Printer, json: bool) -> Result<(), Error> {
    match verb {
        DrivePasswordVerb::Ls { cell } => {
            list(remote, printer, &set(cell, "DrivePassword"), &["Name", "_Account.Name", "_Box.Name"], json)
        }
        DrivePasswordVerb::Add { cell, account, name, cell_box } => {
            let body = json!({ "Name": name, "_Account.Name": account, "_Box.Name": cell_box }).to_string();
            let made = remote.send("POST", &set(cell, "DrivePassword"), &[], body)?.json()?;
            let password = made["d"]["results"]["Password"].as_str().unwrap_or_default().to_owned();
            if json {
                return printer.data(&json!({ "name": name, "account": account, "password": password }).to_string());
            }
            printer.say(&format!("the user is {account}; this is the only time that the password is shown:"));
            printer.data(&password)
        }
        DrivePasswordVerb::Rm { cell, name } => {
            remote.send("DELETE", &format!("{}{}", set(cell, "DrivePassword"), key(name, None)), &[], String::new())?;
            done(printer, json, &format!("{name} opens nothing any more"))
        }
    }
}
