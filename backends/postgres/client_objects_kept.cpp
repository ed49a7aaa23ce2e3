// ClientObjects' other half: what is kept of a client's objects, and of those that all share.
#include <algorithm>
#include <iterator>
#include <utility>

#include "backends/postgres/client_objects.h"

namespace based::postgres {
namespace {

using Kind = ClientObject::Kind;
using OnCommit = ClientObject::OnCommit;

// Kept of one client. What is above it stays until the sandbox is reset.
constexpr std::size_t objects_max = 1000;
// Of clients that have gone, until the next unit.
constexpr std::size_t left_max = 10'000;
constexpr std::size_t emptied_max = 256;

// The newest of a name is what it is.
void put(std::vector<ClientObject>& tables, ClientObject table) {
  std::erase_if(tables, [&](const ClientObject& other) { return other.name == table.name; });
  if (tables.size() < objects_max) tables.push_back(std::move(table));
}

void note_on_commit(const ClientObject& table, std::set<std::string, std::less<>>& emptied) {
  if (table.on_commit == OnCommit::delete_rows) {
    emptied.insert(table.name);
  } else if (!table.may_be_there) {
    emptied.erase(table.name);
  }
}

}  // namespace

void SandboxObjects::leave(ClientObject object) {
  if (left.size() < left_max) left.push_back(std::move(object));
}

void SandboxObjects::forget(std::string_view name) {
  const auto named = [name](const ClientObject& object) { return object.name == name; };
  std::erase_if(left, named);
  std::erase_if(cleared_in_turn, named);
}

std::vector<ClientObject> SandboxObjects::clear() {
  for (const ClientObject& object : left) {
    if (cleared.size() < left_max) cleared.push_back(object);
    if (cleared_in_turn.size() < left_max) cleared_in_turn.push_back(object);
  }
  return std::exchange(left, {});
}

void SandboxObjects::clearing_stays() { cleared_in_turn.clear(); }

void SandboxObjects::clearing_undone() {
  for (ClientObject& object : std::exchange(cleared_in_turn, {})) leave(std::move(object));
}

std::size_t SandboxObjects::mark(bool is_oldest) {
  if (is_oldest) cleared.clear();
  return cleared.size();
}

void SandboxObjects::go_back(std::size_t marked) {
  const std::size_t from = std::min(marked, cleared.size());
  for (std::size_t i = from; i < cleared.size(); ++i) leave(std::move(cleared[i]));
  cleared.resize(from);
}

void SandboxObjects::begin_anew() {
  left.clear();
  cleared.clear();
  cleared_in_turn.clear();
  emptied_tables.clear();
}

void SandboxObjects::add_lock_holder() {
  if (++lock_holders == 1 && unlock) unlock(false);
}

void SandboxObjects::drop_lock_holder() {
  if (--lock_holders == 0 && unlock) unlock(true);
}

void SandboxObjects::empty_at_commit(const std::string& table) {
  if (emptied_tables.size() < emptied_max) emptied_tables.insert(table);
}

void ClientObjects::sent(const Statement& statement) {
  if (auto renaming = renaming_by(statement)) renaming_.push_back(*std::move(renaming));
  std::optional<ClientObject> object = object_made_by(statement);
  if (!object) return;
  if (object->kind == Kind::cursor) declares_ = true;
  if (object->kind != Kind::table || (object->may_be_there && has(object->name))) return;
  put(making_, std::move(*object));
}

void ClientObjects::failed() {
  making_.clear();
  renaming_.clear();
}

std::vector<ClientObject> ClientObjects::ending() const {
  std::vector<ClientObject> tables = made_;
  for (const ClientObject& table : making_) put(tables, table);
  for (const Renaming& renaming : renaming_) {
    const auto named = [&](const ClientObject& table) { return table.name == renaming.from; };
    const auto found = std::ranges::find_if(tables, named);
    if (found == tables.end()) continue;
    ClientObject table = *found;
    table.name = renaming.to;
    tables.erase(found);
    put(tables, std::move(table));
  }
  std::erase_if(tables, [](const ClientObject& t) { return t.on_commit != OnCommit::drop; });
  return tables;
}

std::set<std::string, std::less<>> ClientObjects::emptied(const SandboxObjects& shared) const {
  std::set<std::string, std::less<>> names = shared.emptied_tables;
  for (const std::vector<ClientObject>* tables : {&made_, &making_}) {
    for (const ClientObject& table : *tables) note_on_commit(table, names);
  }
  for (const auto& [from, to] : renaming_) {
    if (names.erase(from) > 0) {
      names.insert(to);
    } else {
      names.erase(to);
    }
  }
  return names;
}

void ClientObjects::done(const Statement& statement, std::string_view tag, SandboxObjects& shared) {
  if (locks_for_session(statement) && !std::exchange(holds_locks_, true)) shared.add_lock_holder();
  if (tag == "CLOSE CURSOR") {
    const std::string name = cursor_closed_by(statement);
    if (name.empty()) return closed_cursors();
    std::erase_if(owned_, [&](const ClientObject& object) {
      return object.kind == Kind::holdable && object.name == name;
    });
    committed_ = std::min(committed_, owned_.size());
    return;
  }
  for (std::string& name : tables_dropped_by(statement)) {
    Known now = known(name);
    now.gone = true;
    learn(std::move(now));
  }
  if (const auto renaming = renaming_by(statement)) return note_renamed(*renaming, shared);
  std::optional<ClientObject> object = object_made_by(statement);
  if (!object || object->kind == Kind::cursor) return;
  shared.forget(object->name);
  if (object->kind == Kind::table) note_made(*object, shared);
  if (Known now = known(object->name); now.gone) {
    now.gone = false;
    learn(std::move(now));
  }
  std::erase_if(dropped_, [&](const ClientObject& gone) { return gone.name == object->name; });
  if (object->on_commit == OnCommit::drop || owned_.size() >= objects_max) return;
  if (std::ranges::find(owned_, *object) == owned_.end()) owned_.push_back(std::move(*object));
}

// Where it was there before (IF NOT EXISTS), it is what it was.
void ClientObjects::note_made(const ClientObject& table, const SandboxObjects& shared) {
  std::erase_if(making_, [&table](const ClientObject& other) { return other.name == table.name; });
  const bool gone = known(table.name).gone;
  const bool is_known = shared.emptied_tables.contains(table.name) || has(table.name);
  if (table.may_be_there && is_known && !gone) return;
  ClientObject there = table;
  if (gone) there.may_be_there = false;
  learn({.name = table.name, .made = std::move(there), .gone = false});
}

// It ends as what it was, under its new name; and what has had that is something else.
void ClientObjects::note_renamed(const Renaming& renaming, SandboxObjects& shared) {
  const auto sent = std::ranges::find(renaming_, renaming);
  if (sent != renaming_.end()) renaming_.erase(sent);
  const Known before = known(renaming.from);
  ClientObject table{.kind = Kind::table, .on_commit = OnCommit::keep, .name = renaming.to};
  if (before.made) {
    table.on_commit = before.made->on_commit;
  } else if (shared.emptied_tables.contains(renaming.from)) {
    table.on_commit = OnCommit::delete_rows;
  }
  shared.forget(renaming.to);
  std::erase_if(dropped_, [&](const ClientObject& gone) { return gone.name == renaming.to; });
  learn({.name = renaming.from, .made = std::nullopt, .gone = true});
  learn({.name = renaming.to, .made = std::move(table), .gone = false});
  const auto owned = std::ranges::find_if(owned_, [&](const ClientObject& object) {
    return object.name == renaming.from && object.kind != Kind::holdable;
  });
  if (owned == owned_.end() || owned_.size() >= objects_max) return;
  ClientObject renamed = *owned;
  renamed.name = renaming.to;
  const bool is_there = std::ranges::any_of(owned_, [&](const ClientObject& object) {
    return object.name == renamed.name && object.kind == renamed.kind;
  });
  if (!is_there) owned_.push_back(std::move(renamed));
}

ClientObjects::Known ClientObjects::known(std::string_view name) const {
  Known found{.name = std::string(name), .made = std::nullopt, .gone = false};
  found.gone = std::ranges::find(gone_, name) != gone_.end();
  const auto named = [name](const ClientObject& table) { return table.name == name; };
  const auto made = std::ranges::find_if(made_, named);
  if (made != made_.end()) found.made = *made;
  return found;
}

void ClientObjects::learn(Known now) {
  if (!savepoints_.empty()) before_.push_back(known(now.name));
  set(std::move(now));
}

void ClientObjects::set(Known now) {
  std::erase(gone_, now.name);
  std::erase_if(made_, [&now](const ClientObject& table) { return table.name == now.name; });
  if (now.made) put(made_, *std::move(now.made));
  if (now.gone) gone_.push_back(std::move(now.name));
}

void ClientObjects::note_savepoint(const Statement& step) {
  if (step.kind == StatementKind::savepoint) savepoints_.add(step.name, before_.size());
  if (step.kind == StatementKind::release) savepoints_.release(step.name);
  if (step.kind != StatementKind::rollback_to) return;
  const std::size_t* there = savepoints_.find(step.name);
  if (there == nullptr) return;
  while (before_.size() > *there) {
    set(std::move(before_.back()));
    before_.pop_back();
  }
  savepoints_.go_back_to(step.name);
}

bool ClientObjects::has(std::string_view name) const {
  const auto same = [name](const ClientObject& object) { return object.name == name; };
  if (known(name).gone) return false;
  return std::ranges::any_of(made_, same) || std::ranges::any_of(owned_, same);
}

void ClientObjects::closed_cursors() {
  const auto closed = [](const ClientObject& object) { return object.kind == Kind::holdable; };
  const auto before = owned_.begin() + static_cast<std::ptrdiff_t>(committed_);
  committed_ -= static_cast<std::size_t>(std::count_if(owned_.begin(), before, closed));
  std::erase_if(owned_, closed);
}

void ClientObjects::committed(SandboxObjects& shared) {
  for (ClientObject& table : ending()) shared.leave(std::move(table));
  for (ClientObject& object : dropped_) shared.leave(std::move(object));
  for (const ClientObject& table : made_) {
    if (table.on_commit == OnCommit::delete_rows) {
      shared.empty_at_commit(table.name);
    } else {
      shared.emptied_tables.erase(table.name);
    }
  }
  for (const std::string& name : gone_) {
    shared.emptied_tables.erase(name);
    std::erase_if(owned_, [&](const ClientObject& object) {
      return object.name == name && object.kind != Kind::holdable;
    });
  }
  end_transaction();
}

ClientObjects::OfTransaction ClientObjects::leave() {
  OfTransaction left{.made = std::move(made_),
                     .dropped = std::move(dropped_),
                     .gone = std::move(gone_),
                     .declares = declares_};
  end_transaction();
  return left;
}

void ClientObjects::take_over(OfTransaction left) {
  for (std::string& name : left.gone) {
    learn({.name = std::move(name), .made = std::nullopt, .gone = true});
  }
  for (ClientObject& table : left.made) {
    Known now = known(table.name);
    now.made = std::move(table);
    learn(std::move(now));
  }
  std::ranges::move(left.dropped, std::back_inserter(dropped_));
  declares_ = declares_ || left.declares;
}

void ClientObjects::end_transaction() {
  making_.clear();
  renaming_.clear();
  before_.clear();
  savepoints_.clear();
  made_.clear();
  dropped_.clear();
  gone_.clear();
  declares_ = false;
  committed_ = owned_.size();
}

void ClientObjects::rolled_back() {
  owned_.resize(std::min(committed_, owned_.size()));
  end_transaction();
}

std::vector<ClientObject> ClientObjects::owned_cursors() const {
  std::vector<ClientObject> cursors;
  std::ranges::copy_if(owned_, std::back_inserter(cursors),
                       [](const ClientObject& object) { return object.kind == Kind::holdable; });
  return cursors;
}

std::vector<ClientObject> ClientObjects::owned_temporary() const {
  std::vector<ClientObject> temporary;
  std::ranges::copy_if(owned_, std::back_inserter(temporary),
                       [](const ClientObject& object) { return object.kind != Kind::holdable; });
  return temporary;
}

}  // namespace based::postgres
