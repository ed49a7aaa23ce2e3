#include "backends/sqlite/overlay.h"

#include <algorithm>

#include "backends/sqlite/overlay_entry.h"
#include "protocol/check.h"

namespace based::sqlite {

Overlay::Overlay(std::shared_ptr<OverlayBase> base, Options options)
    : base_(std::move(base)), options_(std::move(options)), system_(sqlite3_vfs_find(nullptr)) {}

Overlay::~Overlay() {
  INVARIANT(open_files_ == 0);
  if (!vfs_name_.empty()) sqlite3_vfs_unregister(&vfs_);
}

Result<std::unique_ptr<Overlay>> Overlay::open(const std::string& path, Options options) {
  auto full = OverlayBase::full_path(path);
  if (!full) return std::move(full).error();
  auto base = OverlayBase::open(std::move(full).value(), options.temp_dir, options.patience);
  if (!base) return std::move(base).error();
  return open(std::move(base).value(), std::move(options));
}

Result<std::unique_ptr<Overlay>> Overlay::open(std::shared_ptr<OverlayBase> base, Options options) {
  std::unique_ptr<Overlay> overlay{new Overlay(std::move(base), std::move(options))};
  auto store = OverlayStore::make(overlay->options_.temp_dir, overlay->options_.limits);
  if (!store) return std::move(store).error();
  overlay->store_ = std::move(store).value();
  overlay->add_database(overlay->base_);
  overlay->origin_ = overlay->snapshot();
  overlay->register_vfs();
  return overlay;
}

void Overlay::add_file(std::string name, std::shared_ptr<OverlayBase> base,
                       OverlayFile::Content content) {
  auto entry = std::make_shared<Entry>(
      Entry{.base = std::move(base), .content = {store_, content}, .exists = content.fd >= 0});
  files_.insert_or_assign(std::move(name), std::move(entry));
}

void Overlay::add_database(const std::shared_ptr<OverlayBase>& base) {
  add_file(base->path(), base, base->main());
  if (base->log().fd >= 0) add_file(base->path() + "-wal", base, base->log());
  if (base->journal().fd >= 0) add_file(base->path() + "-journal", base, base->journal());
}

// Names that SQLite derives from a database's are never looked up outside.
bool Overlay::belongs_to_database(std::string_view name) const {
  for (const std::string_view suffix : {"-wal", "-journal"}) {
    if (!name.ends_with(suffix)) continue;
    const auto found = files_.find(name.substr(0, name.size() - suffix.size()));
    if (found != files_.end()) return true;
  }
  return false;
}

int Overlay::add(const char* name, int flags) {
  const bool is_database = (flags & SQLITE_OPEN_MAIN_DB) != 0;
  const bool creates = (flags & SQLITE_OPEN_CREATE) != 0;
  if (files_.size() >= files_max) return SQLITE_CANTOPEN;
  if (!is_database && creates) {
    // A journal of ours, whatever another program has there by now.
    add_file(name, nullptr, {});
    return SQLITE_OK;
  }
  auto base = OverlayBase::open(name, options_.temp_dir, options_.patience);
  if (!base) {
    const bool busy = base.error().sqlstate == sqlstate::lock_not_available;
    return busy ? SQLITE_BUSY : SQLITE_CANTOPEN;
  }
  if (!(*base)->exists() && !creates) return SQLITE_CANTOPEN;
  if (is_database) {
    add_database(*base);
  } else {
    // The journal of several databases' commit, which a hot journal of ours names.
    add_file(name, *base, (*base)->main());
  }
  return SQLITE_OK;
}

int Overlay::find_or_add(const char* name, int flags, std::shared_ptr<Entry>& entry) {
  if (!files_.contains(std::string_view{name})) {
    if (const int code = add(name, flags); code != SQLITE_OK) return code;
  }
  entry = files_.find(std::string_view{name})->second;
  if (!entry->exists && (flags & SQLITE_OPEN_CREATE) == 0) return SQLITE_CANTOPEN;
  // Two of one handle on one file would need locks between them.
  if ((flags & SQLITE_OPEN_MAIN_DB) != 0 && entry->open_count > 0) return SQLITE_BUSY;
  entry->exists = true;
  return SQLITE_OK;
}

int Overlay::delete_file(std::string_view name) {
  const auto found = files_.find(name);
  if (found == files_.end() || !found->second->exists) return SQLITE_IOERR_DELETE_NOENT;
  if (found->second->base == nullptr) {
    files_.erase(found);
  } else {
    add_file(found->first, nullptr, {});  // what there is outside does not come back
  }
  return SQLITE_OK;
}

int Overlay::access(const char* name, int flags, int* result) const {
  const auto found = files_.find(std::string_view{name});
  if (found == files_.end() && !belongs_to_database(name)) {
    return system_->xAccess(system_, name, flags, result);
  }
  *result = found != files_.end() && found->second->exists ? 1 : 0;
  return SQLITE_OK;
}

void Overlay::on_closed(const File& file) {
  --open_files_;
  --file.entry->open_count;
}

Overlay::Snapshot Overlay::snapshot() const {
  Snapshot taken;
  for (const auto& [name, entry] : files_) {
    taken.emplace(name, Saved{entry, entry->content.state(), entry->exists});
  }
  return taken;
}

void Overlay::restore(const Snapshot& files) {
  files_.clear();
  for (const auto& [name, saved] : files) {
    saved.entry->content.set_state(saved.state);
    saved.entry->exists = saved.exists;
    files_.emplace(name, saved.entry);
  }
}

std::vector<Overlay::Mark>::iterator Overlay::find_mark(std::string_view name) {
  return std::ranges::find_if(marks_, [&](const Mark& mark) { return mark.name == name; });
}

Result<void> Overlay::mark(sqlite3* db, std::string_view name) {
  INVARIANT(db != nullptr || open_files_ == 0);
  if (name.empty() || name.size() > mark_name_bytes_max) {
    return Error::make(sqlstate::invalid_parameter_value,
                       "the name of a mark has 1 to " + std::to_string(mark_name_bytes_max) +
                           " bytes, not " + std::to_string(name.size()));
  }
  if (db != nullptr && sqlite3_txn_state(db, nullptr) == SQLITE_TXN_WRITE) {
    return Error::make(sqlstate::active_sql_transaction,
                       "a mark cannot be set in a transaction that has written");
  }
  const auto old = find_mark(name);
  if (old == marks_.end() && marks_.size() >= marks_max) {
    return Error::make(sqlstate::program_limit_exceeded,
                       "there are already " + std::to_string(marks_max) + " marks");
  }
  if (old != marks_.end()) marks_.erase(old);
  marks_.push_back(Mark{std::string{name}, snapshot()});
  return {};
}

Result<void> Overlay::check_reset() const {
  if (open_files_ > 0) {
    return Error::make(sqlstate::object_in_use, "the sandbox's handle is open");
  }
  return verify_base();
}

Result<void> Overlay::reset() {
  if (auto checked = check_reset(); !checked) return checked;
  marks_.clear();
  restore(origin_);
  return {};
}

Result<void> Overlay::reset_to(std::string_view name) {
  const auto found = find_mark(name);
  if (found == marks_.end()) {
    return no_mark_error(std::string{name});
  }
  if (auto checked = check_reset(); !checked) return checked;
  marks_.erase(found + 1, marks_.end());
  restore(found->files);
  return {};
}

void Overlay::drop_marks() { marks_.clear(); }

Result<void> Overlay::verify_base() const {
  for (const auto& [name, entry] : files_) {
    if (entry->base == nullptr || entry->base->path() != name) continue;
    if (auto verified = entry->base->verify(); !verified) return verified;
  }
  return {};
}

std::uint64_t Overlay::changed_pages() const {
  const auto bytes = files_.find(path())->second->content.changed_bytes();
  return static_cast<std::uint64_t>(bytes / OverlayFile::block_bytes);
}

}  // namespace based::sqlite
