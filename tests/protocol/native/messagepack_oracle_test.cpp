// Our MessagePack against msgpack-cxx: what one writes the other reads, value for value.
#include <doctest/doctest.h>

// The library's headers are not written for our warnings.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wnon-virtual-dtor"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#include <msgpack.hpp>
#pragma GCC diagnostic pop

#include <bit>
#include <cmath>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "protocol/native/messagepack.h"
#include "protocol/native/parameters.h"

namespace based::native {
namespace {

// Numbers near the edges of every form, and text and bytes around every length class.
class Values {
 public:
  explicit Values(std::uint32_t seed) : random_(seed) {}

  ValueView next() {
    switch (random_() % 6) {
      case 0:
        return ValueView::null();
      case 1:
        return ValueView::of(random_() % 2 == 0);
      case 2:
        return ValueView::of(integer());
      case 3:
        return ValueView::of(std::bit_cast<double>(random_()));
      case 4:
        return ValueView::text(data('a'));
      default:
        return ValueView::bytes(data('\xFF'));
    }
  }

 private:
  std::int64_t integer() {
    const std::uint64_t edge = std::uint64_t{1} << random_() % 64;
    const std::uint64_t near = edge + random_() % 3 - 1;
    return static_cast<std::int64_t>(random_() % 2 == 0 ? near : 0 - near);
  }
  std::string_view data(char byte) {
    constexpr std::size_t edges[] = {0, 31, 32, 255, 256, 65535, 65536};
    const std::size_t bytes = edges[random_() % 5 + (random_() % 50 == 0 ? 2 : 0)];
    storage_.push_back(std::make_unique<std::string>(bytes, byte));
    return *storage_.back();
  }

  std::mt19937_64 random_;
  std::vector<std::unique_ptr<std::string>> storage_;
};

ValueView seen_by_library(const msgpack::object& object) {
  switch (object.type) {
    case msgpack::type::NIL:
      return ValueView::null();
    case msgpack::type::BOOLEAN:
      return ValueView::of(object.via.boolean);
    case msgpack::type::POSITIVE_INTEGER:
      return ValueView::of(static_cast<std::int64_t>(object.via.u64));
    case msgpack::type::NEGATIVE_INTEGER:
      return ValueView::of(object.via.i64);
    case msgpack::type::FLOAT32:
    case msgpack::type::FLOAT64:
      return ValueView::of(object.via.f64);
    case msgpack::type::STR:
      return ValueView::text({object.via.str.ptr, object.via.str.size});
    case msgpack::type::BIN:
      return ValueView::bytes({object.via.bin.ptr, object.via.bin.size});
    default:
      FAIL("not a scalar");
  }
  return {};
}

void write_by_library(msgpack::packer<msgpack::sbuffer>& packer, const ValueView& value) {
  switch (value.kind) {
    case ValueKind::null:
      packer.pack_nil();
      break;
    case ValueKind::boolean:
      packer.pack(value.boolean);
      break;
    case ValueKind::int64:
      packer.pack_int64(value.int64);
      break;
    case ValueKind::float64:
      packer.pack_double(value.float64);
      break;
    case ValueKind::text:
      packer.pack_str(static_cast<std::uint32_t>(value.data.size()));
      packer.pack_str_body(value.data.data(), static_cast<std::uint32_t>(value.data.size()));
      break;
    case ValueKind::bytes:
      packer.pack_bin(static_cast<std::uint32_t>(value.data.size()));
      packer.pack_bin_body(value.data.data(), static_cast<std::uint32_t>(value.data.size()));
      break;
  }
}

}  // namespace

TEST_CASE("msgpack-cxx and we write the same bytes and read the same values") {
  constexpr std::uint32_t seed = 20'240'229;
  CAPTURE(seed);
  Values values(seed);
  for (int i = 0; i < 5'000; ++i) {
    const ValueView value = values.next();
    std::string ours;
    MessagePackWriter(ours).value(value);
    msgpack::sbuffer theirs;
    msgpack::packer<msgpack::sbuffer> packer(theirs);
    write_by_library(packer, value);
    // It writes an integral float as an integer, which the protocol forbids: 1.0 is not 1.
    const bool integral =
        value.kind == ValueKind::float64 && std::trunc(value.float64) == value.float64;
    if (!integral) REQUIRE(std::string_view(theirs.data(), theirs.size()) == ours);

    const msgpack::object_handle handle = msgpack::unpack(ours.data(), ours.size());
    REQUIRE(identical(seen_by_library(handle.get()), value));
    MessagePackReader reader(ours);
    Item item;
    REQUIRE(reader.next(item));
    REQUIRE(identical(value_of(item), value));
    REQUIRE(reader.at_end());
  }
}

TEST_CASE("arrays and maps that msgpack-cxx wrote are walked as parameters") {
  msgpack::sbuffer buffer;
  msgpack::packer<msgpack::sbuffer> packer(buffer);
  const std::map<std::string, int> named{{"a", 1}, {"b", -70'000}, {"c", 300}};
  packer.pack(named);
  MessagePackReader reader({buffer.data(), buffer.size()});
  ParametersView view;
  REQUIRE(ParametersView::read(reader, view));
  CHECK(view.named());
  ParameterCursor cursor(view);
  std::string_view name;
  ValueView value;
  for (const auto& pair : named) {
    REQUIRE(cursor.next(name, value));
    CHECK_EQ(name, pair.first);
    CHECK_EQ(value.int64, pair.second);
  }
  CHECK_FALSE(cursor.next(name, value));
}

}  // namespace based::native
