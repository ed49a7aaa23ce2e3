#include "protocol/value.h"

#include <doctest/doctest.h>

#include <cmath>

using based::ValueList;
using based::ValueView;

TEST_CASE("a copied value list owns its bytes and survives a move") {
  std::string text = "hello";
  const std::string bytes("\0\xff", 2);
  const ValueView values[] = {ValueView::text(text), ValueView::null(), ValueView::bytes(bytes),
                              ValueView::of(std::int64_t{1}), ValueView::text("")};
  ValueList list = ValueList::copy_of(values);
  text.assign("XXXXX");
  ValueList moved = std::move(list);
  REQUIRE(moved.size() == 5);
  CHECK_EQ(moved[0].data, "hello");
  CHECK(moved[1].is_null());
  CHECK_EQ(moved[2].data, bytes);
  CHECK_EQ(moved[3].int64, 1);
  CHECK_EQ(moved[4].data, "");
}

TEST_CASE("identical compares kind and content, floats by bits") {
  CHECK(identical(ValueView::of(std::nan("")), ValueView::of(std::nan(""))));
  CHECK_FALSE(identical(ValueView::of(0.0), ValueView::of(-0.0)));
  CHECK_FALSE(identical(ValueView::of(1.0), ValueView::of(std::int64_t{1})));
  CHECK_FALSE(identical(ValueView::text("a"), ValueView::bytes("a")));
}

TEST_CASE("UTF-8 validity is RFC 3629's") {
  using based::is_valid_utf8;
  CHECK(is_valid_utf8(""));
  CHECK(is_valid_utf8(std::string_view("a\0b", 3)));
  CHECK(is_valid_utf8(
      "\xC2\x80 \xE0\xA0\x80 \xED\x9F\xBF \xEE\x80\x80 \xF0\x90\x80\x80 \xF4\x8F\xBF\xBF"));
  for (std::string_view bad :
       {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xE2\x82", "\xC2", "a\xFF"}) {
    CHECK_FALSE(is_valid_utf8(bad));
  }
}
