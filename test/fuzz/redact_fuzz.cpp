// libFuzzer target: any bytes as an error message, and as what stands around a secret. The unit tests replay
// test/fuzz/corpus/redact.

#include "core/redaction/redact.hpp"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <string>
#include <string_view>

namespace redact_fuzz
{

inline void require(bool condition, const char *what, std::string_view text, std::string_view redacted)
{
    if (condition)
        return;
    std::fprintf(stderr, "%s\ntext:     %.*s\nredacted: %.*s\n", what, static_cast<int>(text.size()),
                 text.data(), static_cast<int>(redacted.size()), redacted.data());
    std::abort();
}

// Bytes of the character at the start of a text; 0 if it is none (RFC 3629).
inline std::size_t utf8_size(std::string_view text)
{
    auto const byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    std::size_t const size = byte(0) < 0x80                      ? 1
                             : byte(0) >= 0xC2 && byte(0) < 0xE0 ? 2
                             : byte(0) >= 0xE0 && byte(0) < 0xF0 ? 3
                             : byte(0) >= 0xF0 && byte(0) < 0xF5 ? 4
                                                                 : 0;
    if (size == 0 || size > text.size())
        return 0;
    for (std::size_t i = 1; i < size; ++i)
        if (byte(i) < 0x80 || byte(i) > 0xBF)
            return 0;
    bool const too_small = (byte(0) == 0xE0 && byte(1) < 0xA0) || (byte(0) == 0xF0 && byte(1) < 0x90);
    bool const too_large = (byte(0) == 0xED && byte(1) > 0x9F) || (byte(0) == 0xF4 && byte(1) > 0x8F);
    return too_small || too_large ? 0 : size;
}

inline bool is_utf8(std::string_view text)
{
    while (!text.empty()) {
        auto const size = utf8_size(text);
        if (size == 0)
            return false;
        text.remove_prefix(size);
    }
    return true;
}

// What holds of any text. `most_work`: how often each character may be looked at.
inline std::string check(std::string_view text)
{
    constexpr std::size_t most_work = 30;
    auto const once = shadow::redact_counting(text);
    require(once.text.size() <= 3 * text.size() + 8, "too long", text, once.text);
    require(once.visited <= most_work * text.size() + 5000, "too much work", text, once.text);
    require(!is_utf8(text) || is_utf8(once.text), "no longer UTF-8", text, once.text);
    auto const twice = shadow::redact(once.text);
    require(twice == once.text, "changed again", std::string(text) + "\nonce:     " + std::string(once.text),
            twice);
    return std::string(once.text);
}

// One of the secrets between blanks.
inline void check_planted(std::string_view before, unsigned which, std::string_view after)
{
    static constexpr std::string_view secrets[] = {"ann@example.org",
                                                   "ann%40example.org",
                                                   "\"ann lee\"@example.org",
                                                   "3f2b8c1e-90ab-4cde-8f01-23456789abcd",
                                                   "4111111111111111",
                                                   "198.51.100.23",
                                                   "2001:db8::1428:57ab",
                                                   "::ffff:198.51.100.23",
                                                   "00:1a:2b:3c:4d:5e",
                                                   "deadbeefdeadbeef01",
                                                   "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
                                                   "AKIAIOSFODNN7EXAMPLE",
                                                   "tGzv3JOkF0XG5Qx2TlKWIA",
                                                   "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sig",
                                                   "password=hunter2",
                                                   "Bearer abc.def.ghi"};
    auto const secret = secrets[which % std::size(secrets)];
    std::string const text = std::string(before) + " " + std::string(secret) + " " + std::string(after);
    auto const redacted = check(text);
    bool const was_there = before.find(secret) != before.npos || after.find(secret) != after.npos;
    require(was_there || redacted.find(secret) == redacted.npos, "a secret is left", text, redacted);
}

// Each byte one of the pieces that the rules are about: nearer to them than bytes.
inline std::string in_pieces(const std::uint8_t *data, std::size_t size)
{
    static constexpr std::string_view pieces[] = {" ",
                                                  "  ",
                                                  "\n",
                                                  "\"",
                                                  "'",
                                                  "`",
                                                  "\\",
                                                  "\\\"",
                                                  "(",
                                                  ")",
                                                  "[",
                                                  "]",
                                                  "{",
                                                  "}",
                                                  "<",
                                                  ">",
                                                  ",",
                                                  ";",
                                                  ":",
                                                  "::",
                                                  "=",
                                                  "=>",
                                                  ":=",
                                                  "==",
                                                  ".",
                                                  "-",
                                                  "--",
                                                  "_",
                                                  "/",
                                                  "+",
                                                  "~",
                                                  "?",
                                                  "&",
                                                  "#",
                                                  "!",
                                                  "$",
                                                  "@",
                                                  "%40",
                                                  "%2540",
                                                  "\\u0040",
                                                  "&#64;",
                                                  "%3A",
                                                  "%3D",
                                                  "%22",
                                                  "%20",
                                                  "://",
                                                  "[ip]",
                                                  "[email]",
                                                  "[number]",
                                                  "[secret]",
                                                  "[query]",
                                                  "[token]",
                                                  "[hex]",
                                                  "0x",
                                                  "1",
                                                  "12",
                                                  "123",
                                                  "1234",
                                                  "123456",
                                                  "12345678",
                                                  "a",
                                                  "b1",
                                                  "x",
                                                  "T12",
                                                  "A",
                                                  "Ab",
                                                  "aB3",
                                                  "dead",
                                                  "beef01",
                                                  "deadbeef",
                                                  "::ffff:",
                                                  "fe80",
                                                  "2001:db8",
                                                  "1.2.3.4",
                                                  "00:1A:2B",
                                                  "00-1a-2b",
                                                  "20241022",
                                                  "2024-10",
                                                  "\xc3\xa4",
                                                  "\xe7\x94",
                                                  "\x80",
                                                  "word",
                                                  "Word",
                                                  "WORD",
                                                  "is",
                                                  "null",
                                                  "must",
                                                  "provided",
                                                  "password",
                                                  "pwd",
                                                  "pass",
                                                  "secret",
                                                  "token",
                                                  "api key",
                                                  "apiKey",
                                                  "key",
                                                  "sid",
                                                  "session",
                                                  "cookie",
                                                  "bearer",
                                                  "Basic",
                                                  "Authorization",
                                                  "unexpected",
                                                  "near",
                                                  "-----BEGIN PRIVATE KEY",
                                                  "-----END ",
                                                  "-----",
                                                  "eyJ",
                                                  "sk_live_",
                                                  "sk-",
                                                  "AKIA",
                                                  "hf_",
                                                  "dXNlcg",
                                                  "Zm9vYmFy",
                                                  "example.org",
                                                  "ann",
                                                  "abc.def",
                                                  "a=b",
                                                  "3f2b8c1e-90ab-4cde-8f01-23456789abcd",
                                                  "tGzv3JOkF0XG5Qx2TlKWIA"};
    std::string text;
    for (std::size_t i = 0; i < size; ++i)
        text += pieces[data[i] % std::size(pieces)];
    return text;
}

} // namespace redact_fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    std::string_view const text(reinterpret_cast<const char *>(data), size);
    redact_fuzz::check(text);
    redact_fuzz::check(redact_fuzz::in_pieces(data, size));
    unsigned const which = size > 0 ? data[size - 1] : 0;
    auto const half = size / 2;
    redact_fuzz::check_planted(text.substr(0, half), which, text.substr(half));
    redact_fuzz::check_planted(redact_fuzz::in_pieces(data, half), which,
                               redact_fuzz::in_pieces(data + half, size - half));
    return 0;
}
