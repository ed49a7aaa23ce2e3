#include "backends/postgres/chore_run.h"

#include "backends/postgres/server_error.h"

namespace based::postgres {

Request Link::ChoreRun::write(std::string& out) {
  Request request{.requester = this};
  FrontendWriter writer(out);
  if (chore_.as_query) {
    std::string text;
    for (const std::string& one : chore_.texts) text += one + ';';
    writer.query(text);
    request.expected.push_back({.what = Expect::query, .fate = Fate::swallow});
    return request;
  }
  for (std::uint32_t i = 0; i < chore_.texts.size(); ++i) {
    writer.parse("", chore_.texts[i], {});
    writer.begin_bind("", "", {});
    writer.end_bind();
    writer.describe_portal("");
    writer.execute("", 0);
    for (const Expect what :
         {Expect::parse, Expect::bind, Expect::describe_portal, Expect::execute}) {
      request.expected.push_back({.what = what, .index = i});
    }
  }
  writer.sync();
  return request;
}

void Link::ChoreRun::cut_holder() {
  if (!chore_.of_holder) return;
  chore_.on_row = nullptr;
  chore_.then = nullptr;
}

Flow Link::ChoreRun::on_reply(const Reply& reply) {
  if (!take(reply)) link_.break_off("a reply to one of our own statements cannot be read");
  return Flow::more;
}

bool Link::ChoreRun::take(const Reply& reply) {
  if (!reply.whole) return true;  // a row of a size that none of ours has
  if (reply.type == reply::error) {
    ErrorFields fields;
    if (!decode_error(reply.body, fields)) return false;
    const bool at_text = reply.expectation != nullptr;
    error_ = server_error(fields, at_text ? chore_.texts[reply.expectation->index] : "");
  } else if (reply.type == reply::row_description) {
    return decode_row_description(reply.body, fields_);
  } else if (reply.type == reply::data_row) {
    if (!decode_data_row(reply.body, fields_.size(), cells_)) return false;
    if (chore_.on_row && !cells_.empty()) chore_.on_row(cells_);
  }
  return true;
}

void Link::ChoreRun::on_ready(char) { link_.finish_chore(this, error_); }

}  // namespace based::postgres
