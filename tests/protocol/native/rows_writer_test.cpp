#include "protocol/native/rows_writer.h"

#include <doctest/doctest.h>

#include <vector>

#include "protocol/native/replies.h"
#include "tests/protocol/native/diagnostic.h"

namespace based::native {
namespace {

using Added = RowsWriter::Added;

Rows decoded(std::string_view frame) {
  const FrameHeader header = decode_header(frame.data());
  REQUIRE_EQ(header.payload_bytes, frame.size() - header_bytes);
  REQUIRE(header.type == MessageType::rows);
  REQUIRE_EQ(header.session, 3);
  REQUIRE_EQ(header.request, 9);
  const Result<Rows> rows = decode_rows(frame.substr(header_bytes));
  REQUIRE(rows.ok());
  return *rows;
}

}  // namespace

TEST_CASE("rows are gathered in one frame, whose length and count are those of the rows") {
  RowsWriter writer(3, 9, client_payload_min);
  const ValueView first[] = {ValueView::of(std::int64_t{1}), ValueView::text("a")};
  const ValueView second[] = {ValueView::null(), ValueView::bytes("b")};
  CHECK(writer.empty());
  CHECK(writer.add(0, first) == Added::yes);
  CHECK(writer.add(0, second) == Added::yes);
  CHECK(writer.add(0, {}) == Added::yes);
  const std::string frame(writer.finish());
  CHECK_EQ(diagnostic(std::string_view(frame).substr(header_bytes)),
           "[0, [[1, \"a\"], [null, h'62'], []]]");
  CHECK_EQ(decoded(frame).count, 3);
  CHECK(writer.empty());
  writer.release();
  CHECK_EQ(writer.bytes(), 0);
}

TEST_CASE("rows of two steps never share a frame") {
  RowsWriter writer(3, 9, client_payload_min);
  CHECK(writer.add(0, {}) == Added::yes);
  CHECK(writer.add(1, {}) == Added::finish_first);
  CHECK_EQ(decoded(writer.finish()).step, 0);
  CHECK(writer.add(1, {}) == Added::yes);
  CHECK_EQ(decoded(writer.finish()).step, 1);
}

TEST_CASE("frames are cut between rows at about 64 KiB, and no row is lost") {
  RowsWriter writer(3, 9, frame_payload_default);
  const std::string data(1'000, 'x');
  const ValueView row[] = {ValueView::text(data)};
  std::size_t frames = 0;
  std::size_t rows = 0;
  for (int i = 0; i < 1'000; ++i) {
    REQUIRE(writer.add(0, row) == Added::yes);
    if (!writer.full()) continue;
    const std::string_view frame = writer.finish();
    CHECK(frame.size() < rows_frame_bytes + 1'100);
    rows += decoded(frame).count;
    ++frames;
  }
  rows += decoded(writer.finish()).count;
  CHECK_EQ(rows, 1'000);
  CHECK_EQ(frames, 15);
}

TEST_CASE("a row larger than a frame makes one larger frame, up to the client's limit") {
  RowsWriter writer(3, 9, client_payload_min * 4);
  const std::string fits(client_payload_min * 4 - 30, 'x');
  const std::string over(client_payload_min * 4, 'x');
  const ValueView small[] = {ValueView::of(true)};
  const ValueView large[] = {ValueView::of(true), ValueView::bytes(fits)};
  const ValueView huge[] = {ValueView::of(true), ValueView::bytes(over)};
  CHECK(writer.add(0, large) == Added::yes);
  CHECK(writer.full());
  CHECK_EQ(decoded(writer.finish()).count, 1);

  CHECK(writer.add(0, huge) == Added::too_large);
  CHECK(writer.empty());
  CHECK(writer.add(0, small) == Added::yes);
  CHECK(writer.add(0, huge) == Added::finish_first);
  CHECK_EQ(diagnostic(writer.finish().substr(header_bytes)), "[0, [[true]]]");
  CHECK(writer.add(0, huge) == Added::too_large);
}

TEST_CASE("no frame is ever larger than the client takes, however its rows are made") {
  RowsWriter writer(3, 9, client_payload_min);
  std::size_t refused = 0;
  for (std::size_t i = 0; i < 70'000; ++i) {
    const Added added = writer.add(0, {});  // nobody asks full()
    if (added == Added::yes) continue;
    CHECK(added == Added::finish_first);
    CHECK(writer.finish().size() <= header_bytes + client_payload_min);
    ++refused;
  }
  CHECK_EQ(refused, 1);
}

TEST_CASE("text of a database that is not UTF-8 arrives as bytes") {
  RowsWriter writer(3, 9, client_payload_min);
  const ValueView row[] = {ValueView::text("\xFF"), ValueView::text("\xC3\xBC")};
  CHECK(writer.add(0, row) == Added::yes);
  CHECK_EQ(diagnostic(writer.finish().substr(header_bytes)), "[0, [[h'ff', \"\xC3\xBC\"]]]");
}

}  // namespace based::native
