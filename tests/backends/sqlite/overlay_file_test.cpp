// The overlay's store and files: they behave as files do, and states stay what they were.
#include <fcntl.h>
#include <unistd.h>

#include <map>
#include <vector>

#include "backends/sqlite/overlay_file.h"
#include "backends/sqlite/overlay_store.h"
#include "overlay_fixture.h"

using namespace based;
using namespace based::test;
using sqlite::OverlayFile;
using sqlite::OverlayStore;

namespace {

constexpr auto block_bytes = OverlayStore::block_bytes;

std::shared_ptr<OverlayStore> store_in(const TempDir& dir, OverlayStore::Limits limits) {
  auto made = OverlayStore::make(dir.path(), limits);
  REQUIRE(made.ok());
  return std::move(made).value();
}

std::string content_of(const OverlayFile& file) {
  std::string bytes(static_cast<std::size_t>(file.size()), '?');
  REQUIRE(file.read(bytes.data(), file.size(), 0) == SQLITE_OK);
  return bytes;
}

// A file and what it must look like, changed by the same dice.
struct Model {
  OverlayFile& file;
  std::string expected;

  void change(Dice& dice) {
    const auto offset = dice.below(4'500'000);
    if (dice.below(12) == 0) {
      REQUIRE(file.truncate(static_cast<std::int64_t>(offset)) == SQLITE_OK);
      expected.resize(offset);
      return;
    }
    const std::string data(dice.below(dice.below(3) == 0 ? 40'000 : 600) + 1,
                           static_cast<char>(dice.below(256)));
    REQUIRE(file.write(data.data(), std::ssize(data), static_cast<std::int64_t>(offset)) ==
            SQLITE_OK);
    if (expected.size() < offset + data.size()) expected.resize(offset + data.size());
    expected.replace(offset, data.size(), data);
  }
  void look(Dice& dice) const {
    const auto offset = dice.below(5'000'000);
    const auto length = dice.below(70'000) + 1;
    std::string bytes(length, '?');
    const int code = file.read(bytes.data(), static_cast<std::int64_t>(length),
                               static_cast<std::int64_t>(offset));
    auto wanted = offset < expected.size() ? expected.substr(offset, length) : std::string{};
    CHECK(code == (wanted.size() == length ? SQLITE_OK : SQLITE_IOERR_SHORT_READ));
    wanted.resize(length);
    REQUIRE((bytes == wanted));
  }
};

}  // namespace

TEST_CASE("a block is free when its last owner lets go, and memory is used before the file") {
  const TempDir dir;
  const auto store = store_in(dir, {.memory_bytes_max = 2 * block_bytes});
  OverlayStore::Block one = 0, two = 0, three = 0;
  REQUIRE(store->allocate(one) == SQLITE_OK);
  REQUIRE(store->allocate(two) == SQLITE_OK);
  CHECK(store->spilled_bytes() == 0);
  REQUIRE(store->allocate(three) == SQLITE_OK);
  CHECK(store->used_bytes() == 3 * block_bytes);
  CHECK(store->spilled_bytes() == block_bytes);
  for (const auto block : {one, two, three}) {
    const std::string whole(block_bytes, static_cast<char>('0' + block));
    REQUIRE(store->write(block, 0, whole.data(), block_bytes) == SQLITE_OK);
    REQUIRE(store->write(block, 7, "seven", 5) == SQLITE_OK);
  }
  for (const auto block : {one, two, three}) {
    std::string read(8, '?');
    REQUIRE(store->read(block, 5, read.data(), 8) == SQLITE_OK);
    const std::string fill(2, static_cast<char>('0' + block));
    CHECK(read == fill + "seven" + fill[0]);
  }
  store->retain(one);
  CHECK(store->is_shared(one));
  store->release(one);
  CHECK_FALSE(store->is_shared(one));
  CHECK(store->used_bytes() == 3 * block_bytes);
  store->release(one);
  CHECK(store->used_bytes() == 2 * block_bytes);
  OverlayStore::Block again = 0;
  REQUIRE(store->allocate(again) == SQLITE_OK);
  CHECK(again == one);
  CHECK(dir.names().empty());
}

TEST_CASE("a store at its limit is full until something is let go") {
  const TempDir dir;
  const auto store = store_in(dir, {.memory_bytes_max = block_bytes, .bytes_max = 3 * block_bytes});
  std::vector<OverlayStore::Block> blocks(3);
  for (auto& block : blocks) REQUIRE(store->allocate(block) == SQLITE_OK);
  OverlayStore::Block more = 0;
  CHECK(store->allocate(more) == SQLITE_FULL);
  CHECK(store->used_bytes() == 3 * block_bytes);
  store->release(blocks[1]);
  CHECK(store->allocate(more) == SQLITE_OK);
  store->release(more);
  store->release(blocks[0]);
  store->release(blocks[2]);
  CHECK(store->used_bytes() == 0);
  CHECK(store->kept_bytes() == 3 * block_bytes);
  store->trim();
  CHECK(store->kept_bytes() == 0);
  for (auto& block : blocks) CHECK(store->allocate(block) == SQLITE_OK);
  CHECK(store->spilled_bytes() == 2 * block_bytes);
}

TEST_CASE("a store needs a directory that takes files") {
  const TempDir dir;
  CHECK(code_of(OverlayStore::make(dir.file("none"), {})) == "58P01");
}

TEST_CASE("an overlay file reads as a file would, and its states stay as they were") {
  const TempDir dir;
  std::int64_t memory = 0;
  SUBCASE("in memory") { memory = 64 << 20; }
  SUBCASE("half of it spilled") { memory = 1 << 20; }
  SUBCASE("all of it spilled") { memory = 0; }
  const auto store = store_in(dir, {.memory_bytes_max = memory});
  Dice dice{7};
  // Content of an odd length, of more than one leaf.
  std::string content(3'000'123, '\0');
  for (auto& c : content) c = static_cast<char>(dice.below(256));
  std::ofstream{dir.file("base"), std::ios::binary} << content;
  const int fd = ::open(dir.file("base").c_str(), O_RDONLY);
  {
    OverlayFile file{store, {.fd = fd, .size = std::ssize(content)}};
    Model model{file, content};
    const auto origin = file.state();
    std::vector<std::pair<OverlayFile::State, std::string>> kept;
    for (int i = 0; i < 3000; ++i) {
      dice.below(2) == 0 ? model.change(dice) : model.look(dice);
      REQUIRE(file.size() == std::ssize(model.expected));
      const auto luck = dice.below(100);
      if (luck < 3 && kept.size() < 8) {
        kept.emplace_back(file.state(), model.expected);
      } else if (luck < 5 && !kept.empty()) {
        const auto& [state, expected] = kept[dice.below(kept.size())];
        file.set_state(state);
        model.expected = expected;
      } else if (luck == 5 && !kept.empty()) {
        kept.erase(kept.begin() + static_cast<std::ptrdiff_t>(dice.below(kept.size())));
      }
    }
    CHECK((content_of(file) == model.expected));
    for (const auto& [state, expected] : kept) {
      file.set_state(state);
      CHECK((content_of(file) == expected));
    }
    kept.clear();
    // With one owner left, the store holds exactly what the file has changed.
    CHECK(store->used_bytes() == file.changed_bytes());
    file.set_state(origin);
    CHECK((content_of(file) == content));
    CHECK(file.changed_bytes() == 0);
    CHECK(store->used_bytes() == 0);
  }
  ::close(fd);
  CHECK((bytes_of(dir.file("base")) == content));
}

TEST_CASE("what a file loses does not come back when it grows again") {
  const TempDir dir;
  const auto store = store_in(dir, {});
  const std::string content(3 * block_bytes, 'b');
  std::ofstream{dir.file("base"), std::ios::binary} << content;
  const int fd = ::open(dir.file("base").c_str(), O_RDONLY);
  OverlayFile file{store, {.fd = fd, .size = std::ssize(content)}};
  std::int64_t cut = 0;
  SUBCASE("inside a block of the content") { cut = block_bytes + 100; }
  SUBCASE("inside a private block") {
    cut = block_bytes + 100;
    REQUIRE(file.write("private", 7, block_bytes + 200) == SQLITE_OK);
  }
  SUBCASE("between blocks") { cut = block_bytes; }
  REQUIRE(file.truncate(cut) == SQLITE_OK);
  CHECK(file.changed_bytes() <= block_bytes);
  REQUIRE(file.truncate(3 * block_bytes) == SQLITE_OK);
  REQUIRE(file.write("end", 3, 2 * block_bytes + 5) == SQLITE_OK);
  auto expected = content.substr(0, static_cast<std::size_t>(cut));
  expected.resize(3 * block_bytes);
  expected.replace(2 * block_bytes + 5, 3, "end");
  CHECK((content_of(file) == expected));
  ::close(fd);
}

TEST_CASE("a file that is cut to nothing leaves its earlier state whole") {
  const TempDir dir;
  const auto store = store_in(dir, {});
  OverlayFile file{store, {}};
  const std::string bytes(3'000'000, 'x');
  REQUIRE(file.write(bytes.data(), std::ssize(bytes), 0) == SQLITE_OK);
  const auto state = file.state();
  REQUIRE(file.truncate(0) == SQLITE_OK);
  CHECK(file.changed_bytes() == 0);
  file.set_state(state);
  CHECK((content_of(file) == bytes));
}

TEST_CASE("a write without room leaves the block as it was") {
  const TempDir dir;
  const auto store = store_in(dir, {.memory_bytes_max = 0, .bytes_max = block_bytes});
  OverlayFile file{store, {}};
  REQUIRE(file.write("kept", 4, 0) == SQLITE_OK);
  const auto state = file.state();
  CHECK(file.write("lost", 4, 0) == SQLITE_FULL);  // the block is shared: it would need another
  CHECK(file.write("lost", 4, block_bytes) == SQLITE_FULL);
  CHECK(content_of(file) == "kept");
  CHECK(store->used_bytes() == block_bytes);
}
