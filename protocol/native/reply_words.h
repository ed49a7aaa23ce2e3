// The words and keys of replies, for their encoder and their decoder. Private to protocol/native.
#pragma once

#include <array>
#include <string_view>

#include "protocol/native/payload_reader.h"
#include "protocol/native/replies.h"

namespace based::native {

inline constexpr std::array<Word<TransactionState>, 4> transaction_states{{
    {TransactionState::idle, "idle"},
    {TransactionState::open, "open"},
    {TransactionState::failed, "failed"},
    {TransactionState::aborted, "aborted"},
}};

inline constexpr std::array<Word<ErrorScope>, 4> error_scopes{{
    {ErrorScope::statement, "statement"},
    {ErrorScope::transaction, "transaction"},
    {ErrorScope::session, "session"},
    {ErrorScope::connection, "connection"},
}};

inline constexpr std::array<Word<Executed>, 3> executed_words{{
    {Executed::no, "no"},
    {Executed::yes, "yes"},
    {Executed::unknown, "unknown"},
}};

inline constexpr std::array<Word<NoticeKind>, 4> notice_kinds{{
    {NoticeKind::database, "database"},
    {NoticeKind::goaway, "goaway"},
    {NoticeKind::transaction_lost, "transaction_lost"},
    {NoticeKind::state_lost, "state_lost"},
}};

struct LimitRow {
  std::string_view key;
  std::uint64_t Limits::*member;
};
inline constexpr std::array<LimitRow, 13> limit_rows{{
    {"frame_bytes", &Limits::frame_bytes},
    {"sessions", &Limits::sessions},
    {"requests", &Limits::requests},
    {"request_bytes", &Limits::request_bytes},
    {"parameters", &Limits::parameters},
    {"statements", &Limits::statements},
    {"depth", &Limits::depth},
    {"nesting", &Limits::nesting},
    {"handshake_ms", &Limits::handshake_ms},
    {"ping_ms", &Limits::ping_ms},
    {"statement_timeout_ms", &Limits::statement_timeout_ms},
    {"queue_timeout_ms", &Limits::queue_timeout_ms},
    {"idle_in_transaction_ms", &Limits::idle_in_transaction_ms},
}};

}  // namespace based::native
