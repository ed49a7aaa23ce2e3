// What clients of the Relay count on of the columns of the statements that they have prepared.
//
// Most drivers ask for a statement's columns once, and read its rows by them ever after: rows of
// other columns they would read wrongly. The server sees to that for a statement that it has kept,
// with an error by which a driver knows to prepare it again. Where Based has prepared the text anew
// (on another link, or as its plan was of no use), the server cannot know what the client was told:
// the link's statement is then described before it is bound, once, and what is bound waits for
// that.
#include <algorithm>
#include <functional>
#include <string>
#include <utility>

#include "backends/postgres/relay.h"
#include "protocol/postgres/backend.h"
#include "protocol/postgres/backend_writer.h"
#include "protocol/postgres/frontend.h"

namespace based::postgres {
namespace {

// Never 0. A table's name and number, and a column's in it, are not what rows are read by.
std::uint64_t hash_of(const Reply& reply) {
  std::string read_by;
  std::string_view rest = reply.body.substr(std::min<std::size_t>(2, reply.body.size()));
  while (reply.type == reply::row_description && !rest.empty()) {
    const std::size_t name = std::min(rest.find('\0'), rest.size() - 1) + 1;
    read_by += rest.substr(0, name);
    rest.remove_prefix(name);
    read_by += rest.substr(std::min<std::size_t>(6, rest.size()), 4);  // its type
    rest.remove_prefix(std::min<std::size_t>(18, rest.size()));
  }
  return std::hash<std::string>()(reply.type + read_by) | 1;
}

// In the server's words, and with the name of its routine, by which drivers know it.
std::string columns_error(const Error& error) {
  std::string bytes;
  BackendWriter(bytes).error("ERROR", error);
  bytes.back() = 'R';
  bytes.append("RevalidateCachedQuery").append(2, '\0');
  const std::size_t length = bytes.size() - 1;
  for (std::size_t at = 0; at < 4; ++at) {
    bytes[1 + at] = static_cast<char>(length >> (24 - 8 * at) & 0xFF);
  }
  return bytes;
}

}  // namespace

// Before a Bind of what the link may have with other columns than its client was told.
bool Relay::awaits_columns(const WireMessage& message) {
  if (columns_.asked) return true;
  if (!columns_.any) return false;
  columns_.counted = 0;
  columns_.unknown = false;
  BindNames names;
  if (message.type != request::bind || !message.first || unsettled_) return false;
  if (!decode_bind_names(message.body, names) || names.statement.empty()) return false;
  const PreparedRef* found = find_prepared(names.statement);
  if (found == nullptr || is_skipped() || is_in_failed()) return false;
  const PreparedRef& text = *found;
  const bool told = text->columns != 0;
  const std::uint64_t counted = told ? text->columns : text->portal_columns;
  if (counted == 0) return false;
  const std::string settings = settings_key();
  const auto* there = link_->statements().peek(text->text, text->types, settings);
  if (columns_.heard_of == text || (there != nullptr && there->columns == counted)) {
    columns_.counted = counted;
    return false;
  }
  if (!told && message.whole()) {  // it may ask again
    WireMessage next;
    if (!held_.peek_next(next) && taking_) return columns_.next_awaited = true;
    NamedRequest named;
    const bool asks = next.type == request::describe && decode_named(next.body, named) &&
                      named.what == 'P' && named.name == names.portal;
    if (asks) columns_.unknown = there == nullptr || there->columns == 0;
    if (asks) return false;
  }
  // It is the link's that may be old.
  if (there != nullptr && there->columns != 0) {
    link_->statements().forget(std::string(there->name));
  }
  begin_repeatable();
  if (stacked() && !link_->queue().is_open()) guard_unit(std::exchange(local_over_, false));
  begin_request();
  send_begin();
  extended_ = true;
  describe_named(text, name_on_link(text, settings), true);
  FrontendWriter(link_->out()).flush();
  link_->flush();
  return columns_.asked = true;
}

void Relay::refuse_columns() {
  const Error error =
      Error::make(sqlstate::feature_not_supported, "cached plan must not change result type");
  refuse_here(error);
  items_.back().details().bytes = columns_error(error);
}

void Relay::describe_named(const PreparedRef& text, std::string_view on_server, bool of_ours) {
  Item made{.kind = ItemKind::described, .done = true, .of_ours = of_ours, .prepared = text};
  made.details().on_server = on_server;
  expect(Expect::describe_statement, Fate::forward, add_item(std::move(made)));
  FrontendWriter(link_->out()).describe_statement(on_server);
}

// `named`: the statement, where it has a name.
void Relay::note_bound(std::string_view portal, const PreparedRef* named) {
  columns_.portal = portal;
  if (named == nullptr) {
    columns_.bound.reset();
  } else if (columns_.bound != *named) {
    columns_.bound = *named;
  }
  columns_.described = false;
}

// The item of what is told of the portal, or 0.
std::uint32_t Relay::note_described(std::string_view portal) {
  if (portal != columns_.portal) return 0;
  columns_.described = true;
  if (!columns_.bound || (columns_.bound->portal_columns != 0 && !columns_.unknown)) return 0;
  Item made{.kind = ItemKind::described, .done = true, .prepared = columns_.bound};
  made.was_there = true;
  made.details().on_server = columns_.on_link;
  return add_item(std::move(made));
}

// Who does not ask about the portal counts on what it was told of one before.
void Relay::note_executed(std::string_view portal) {
  const PreparedRef& bound = columns_.bound;
  if (!bound || columns_.described || bound->columns != 0 || portal != columns_.portal) return;
  bound->columns = bound->portal_columns;
}

// True: the client does not hear of it.
bool Relay::note_columns(const Reply& reply, const Item& made) {
  const bool tells = reply.type == reply::row_description || reply.type == reply::no_data;
  if (!tells || !reply.first) return made.of_ours;
  // What is too large to be kept in one piece is not compared.
  const std::uint64_t columns = reply.whole ? hash_of(reply) : made.prepared->columns;
  if (!made.on_server().empty()) link_->statements().described(made.on_server(), columns);
  if (!made.of_ours) {
    (made.was_there ? made.prepared->portal_columns : made.prepared->columns) = columns;
    columns_.any = true;
    return false;
  }
  if (!std::exchange(columns_.asked, false)) return true;
  columns_.heard_of = made.prepared;
  columns_.heard = columns;
  pump();
  return true;
}

// The link does not say: what waits gets the error that came instead. What fails of a unit in front
// says nothing of it.
void Relay::go_on_without_columns() {
  if (!columns_.asked || link_->queue().size() != 1) return;
  columns_.asked = false;
  pump();
}

}  // namespace based::postgres
