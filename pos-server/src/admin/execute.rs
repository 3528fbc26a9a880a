//! From a command to what does it: one function each, all of them thin.

use pos_protocol::id::{ContractId, InstitutionId, ShopId, TaskId};
use pos_protocol::key::KeyId;

use super::command::{
    Command, ContractAdd, InstitutionAdd, InstitutionCheck, InstitutionCommand, KeyCommand, PosAdd,
    PosCommand, ShopAdd, ShopCommand, TaskCommand,
};
use super::{AdminError, Answer, Kind};
use crate::app::App;

type Reply = Result<Answer, AdminError>;

/// Does what `command` says.
///
/// # Errors
/// [`AdminError`] says what was refused and why; nothing was changed then.
pub async fn execute(app: &App, command: Command) -> Reply {
    match command {
        Command::Institution(command) => match command {
            InstitutionCommand::Add(it) => institution_add(app, *it).await,
            InstitutionCommand::List => institution_list(app).await,
            InstitutionCommand::Enable { institution_id } => {
                institution_switch(app, institution_id, true).await
            }
            InstitutionCommand::Disable { institution_id } => {
                institution_switch(app, institution_id, false).await
            }
            InstitutionCommand::Check(it) => institution_check(app, *it).await,
        },
        Command::Shop(command) => match command {
            ShopCommand::Add(it) => shop_add(app, it).await,
            ShopCommand::List => shop_list(app).await,
            ShopCommand::Show { shop_id } => shop_show(app, shop_id).await,
            ShopCommand::Code { shop_id } => shop_code(app, shop_id).await,
        },
        Command::Pos(command) => match command {
            PosCommand::Add(it) => pos_add(app, it).await,
            PosCommand::List { shop_id } => pos_list(app, shop_id).await,
            PosCommand::Contract(it) => contract_add(app, it).await,
            PosCommand::ContractEnable { contract_id } => {
                contract_switch(app, contract_id, true).await
            }
            PosCommand::ContractDisable { contract_id } => {
                contract_switch(app, contract_id, false).await
            }
        },
        Command::Key(command) => match command {
            KeyCommand::List { shop_id } => key_list(app, shop_id).await,
            KeyCommand::Revoke { shop_id, key_id } => key_revoke(app, shop_id, key_id).await,
        },
        Command::Task(command) => match command {
            TaskCommand::List => task_list(app).await,
            TaskCommand::Show { task_id } => task_show(app, task_id).await,
        },
    }
}

async fn institution_add(_: &App, _: InstitutionAdd) -> Reply {
    Err(no_database())
}

async fn institution_list(_: &App) -> Reply {
    Err(no_database())
}

async fn institution_switch(_: &App, _: InstitutionId, _: bool) -> Reply {
    Err(no_database())
}

async fn institution_check(_: &App, _: InstitutionCheck) -> Reply {
    Err(no_database())
}

async fn shop_add(_: &App, _: ShopAdd) -> Reply {
    Err(no_database())
}

async fn shop_list(_: &App) -> Reply {
    Err(no_database())
}

async fn shop_show(_: &App, _: ShopId) -> Reply {
    Err(no_database())
}

async fn shop_code(_: &App, _: ShopId) -> Reply {
    Err(no_database())
}

async fn pos_add(_: &App, _: PosAdd) -> Reply {
    Err(no_database())
}

async fn pos_list(_: &App, _: ShopId) -> Reply {
    Err(no_database())
}

async fn contract_add(_: &App, _: ContractAdd) -> Reply {
    Err(no_database())
}

async fn contract_switch(_: &App, _: ContractId, _: bool) -> Reply {
    Err(no_database())
}

async fn key_list(_: &App, _: ShopId) -> Reply {
    Err(no_database())
}

async fn key_revoke(_: &App, _: ShopId, _: KeyId) -> Reply {
    Err(no_database())
}

async fn task_list(_: &App) -> Reply {
    Err(no_database())
}

async fn task_show(_: &App, _: TaskId) -> Reply {
    Err(no_database())
}

fn no_database() -> AdminError {
    AdminError::new(Kind::Unavailable, "this build has no shop database")
}
