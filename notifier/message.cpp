#include <cstdint>

#include "message.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <ctime>

namespace notifier
{

static std::string base64(std::string_view bytes)
{
    std::string out(4 * ((bytes.size() + 2) / 3) + 1, '\0');
    int const n = EVP_EncodeBlock(reinterpret_cast<unsigned char *>(out.data()),
                                  reinterpret_cast<const unsigned char *>(bytes.data()),
                                  static_cast<int>(bytes.size()));
    out.resize(static_cast<std::size_t>(n));
    return out;
}

// RFC 2047: encoded words of at most 75 characters, cut between characters of UTF-8.
static std::string encoded_header(std::string_view text)
{
    constexpr std::size_t longest = 45;
    std::string out;
    while (!text.empty()) {
        std::size_t n = std::min(text.size(), longest);
        while (n > 1 && n < text.size() && (static_cast<unsigned char>(text[n]) & 0xC0) == 0x80)
            --n;
        out += (out.empty() ? "=?UTF-8?B?" : "\r\n =?UTF-8?B?") + base64(text.substr(0, n)) + "?=";
        text.remove_prefix(n);
    }
    return out;
}

static std::string encoded_body(std::string_view text)
{
    constexpr std::size_t line = 57; // 76 characters
    std::string out;
    for (std::size_t i = 0; i < text.size(); i += line)
        out += base64(text.substr(i, line)) + "\r\n";
    return out;
}

std::string mail_message(const notification &n, std::string_view sender, std::int64_t unix_time)
{
    char date[64];
    std::time_t const t = unix_time;
    std::tm utc{};
    gmtime_r(&t, &utc);
    std::strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S +0000", &utc); // the C locale: English names
    std::string const from(sender);
    return "From: <" + from + ">\r\nTo: <" + n.address + ">\r\nSubject: " + encoded_header(n.subject) +
           "\r\nDate: " + date + "\r\nMessage-ID: <" + n.id + from.substr(from.find('@')) +
           ">\r\nIdempotency-Key: " + n.id +
           "\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
           "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
           encoded_body(n.body);
}

std::string signature(std::string_view secret, std::int64_t unix_time, std::string_view body)
{
    std::string const time = std::to_string(unix_time);
    std::string const text = time + "." + std::string(body);
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
         reinterpret_cast<const unsigned char *>(text.data()), text.size(), mac, &size);
    std::string hex;
    for (unsigned i = 0; i < size; ++i) {
        hex += "0123456789abcdef"[mac[i] >> 4];
        hex += "0123456789abcdef"[mac[i] & 15];
    }
    return "t=" + time + ",v1=" + hex;
}

} // namespace notifier
