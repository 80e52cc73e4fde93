#include "delivery.hpp"

#include "address.hpp"

#include <sys/socket.h>

#include <cstring>
#include <ctime>
#include <stdexcept>

namespace notifier
{

struct deliveries::transfer {
    notification message;
    std::string text; // what is sent
    std::size_t sent = 0;
    curl_slist *headers = nullptr;
    curl_slist *recipients = nullptr;
    const options &given;
    bool was_opened = false;       // a connection to one of the addresses was tried
    const char *refused = nullptr; // why none of them was

    transfer(notification n, const options &o) : message(std::move(n)), given(o) {}
    transfer(const transfer &) = delete;
    transfer &operator=(const transfer &) = delete;
    ~transfer()
    {
        curl_slist_free_all(headers);
        curl_slist_free_all(recipients);
    }

    void add_header(const std::string &header) { headers = curl_slist_append(headers, header.c_str()); }

    // Called with the address that the name was resolved to, before anything is sent to it.
    static curl_socket_t open_allowed_socket(void *self, curlsocktype, curl_sockaddr *address)
    {
        auto *const t = static_cast<transfer *>(self);
        const char *const why = refusal(&address->addr, t->given);
        t->was_opened |= why == nullptr;
        t->refused = t->was_opened ? nullptr : why;
        if (why != nullptr)
            return CURL_SOCKET_BAD;
        return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    }
    static std::size_t read(char *buffer, std::size_t size, std::size_t n, void *self)
    {
        auto *const t = static_cast<transfer *>(self);
        std::size_t const count = std::min(size * n, t->text.size() - t->sent);
        std::memcpy(buffer, t->text.data() + t->sent, count);
        t->sent += count;
        return count;
    }
    static std::size_t discard(char *, std::size_t size, std::size_t n, void *) { return size * n; }
};

deliveries::deliveries(const options &o) : options_(o)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || (multi_ = curl_multi_init()) == nullptr)
        throw std::runtime_error("libcurl could not be initialised");
}

deliveries::~deliveries()
{
    for (auto &entry : running_) {
        curl_multi_remove_handle(multi_, entry.first);
        curl_easy_cleanup(entry.first);
    }
    curl_multi_cleanup(multi_);
    curl_global_cleanup();
}

void deliveries::prepare_mail(CURL *easy, transfer &t)
{
    t.text = mail_message(t.message, options_.sender, std::time(nullptr));
    t.recipients = curl_slist_append(nullptr, ("<" + t.message.address + ">").c_str());
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    curl_easy_setopt(easy, CURLOPT_URL, options_.smtp_url.c_str());
    curl_easy_setopt(easy, CURLOPT_USE_SSL, options_.plaintext_smtp ? CURLUSESSL_TRY : CURLUSESSL_ALL);
    curl_easy_setopt(easy, CURLOPT_MAIL_FROM, ("<" + options_.sender + ">").c_str());
    curl_easy_setopt(easy, CURLOPT_MAIL_RCPT, t.recipients);
    curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, &transfer::read);
    curl_easy_setopt(easy, CURLOPT_READDATA, &t);
    if (!options_.smtp_user.empty()) {
        curl_easy_setopt(easy, CURLOPT_USERNAME, options_.smtp_user.c_str());
        curl_easy_setopt(easy, CURLOPT_PASSWORD, options_.smtp_password.c_str());
    }
}

void deliveries::prepare_http(CURL *easy, transfer &t)
{
    std::int64_t const now = std::time(nullptr);
    t.text = t.message.body;
    t.add_header("Content-Type: application/json");
    t.add_header("Expect:");
    t.add_header("Idempotency-Key: " + t.message.id);
    t.add_header("X-Shadow-Timestamp: " + std::to_string(now));
    if (!t.message.signing_secret.empty())
        t.add_header("X-Shadow-Signature: " + signature(t.message.signing_secret, now, t.text));
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(easy, CURLOPT_URL, t.message.address.c_str());
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, t.headers);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, t.text.c_str());
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, static_cast<long>(t.text.size()));
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L); // a redirect could lead anywhere
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, &transfer::open_allowed_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, &t);
}

static outcome outcome_of(const notification &n)
{
    outcome o;
    o.workspace = n.workspace;
    o.id = n.id;
    return o;
}

void deliveries::start(notification n)
{
    auto t = std::make_unique<transfer>(std::move(n), options_);
    bool const is_mail = t->message.channel == "email";
    CURL *const easy = is_mail && options_.smtp_url.empty() ? nullptr : curl_easy_init();
    if (easy == nullptr) {
        outcome o = outcome_of(t->message);
        o.error = "this notifier has no mail server";
        o.retry_after = 300;
        refused_.push_back(std::move(o));
        return;
    }
    is_mail ? prepare_mail(easy, *t) : prepare_http(easy, *t);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, ""); // a proxy would resolve names behind our back
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, std::min(options_.timeout, 10L));
    curl_easy_setopt(easy, CURLOPT_TIMEOUT, options_.timeout);
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &transfer::discard);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "shadow-analytics-notifier/" SHADOW_VERSION);
    if (!options_.ca_file.empty())
        curl_easy_setopt(easy, CURLOPT_CAINFO, options_.ca_file.c_str());
    curl_multi_add_handle(multi_, easy);
    running_.emplace(easy, std::move(t));
}

// What a status means: a refusal for good is not repeated, an overload or our own fault is.
static void judge_http(outcome &o)
{
    o.delivered = o.status >= 200 && o.status < 300;
    bool const is_temporary = o.status >= 500 || o.status == 408 || o.status == 425 || o.status == 429;
    o.is_final = !o.delivered && !is_temporary;
    if (!o.delivered)
        o.error =
            "HTTP " + std::to_string(o.status) + (o.status / 100 == 3 ? ", redirects are not followed" : "");
}

// libcurl's own words for its error codes name no host and no address.
static void judge_failure(outcome &o, CURLcode code, bool is_mail)
{
    o.error = curl_easy_strerror(code);
    if (is_mail && o.status >= 400)
        o.error += ", SMTP " + std::to_string(o.status);
    bool const is_refused_mail = is_mail && o.status >= 550 && o.status <= 554 && code != CURLE_LOGIN_DENIED;
    o.is_final = is_refused_mail || code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL;
}

outcome deliveries::finish(CURL *easy, CURLcode code)
{
    auto const entry = running_.find(easy);
    transfer const &t = *entry->second;
    outcome o = outcome_of(t.message);
    double seconds = 0;
    curl_off_t retry_after = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &o.status);
    curl_easy_getinfo(easy, CURLINFO_TOTAL_TIME, &seconds);
    curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &retry_after);
    o.latency_ms = static_cast<std::int64_t>(seconds * 1000);
    o.retry_after = static_cast<long>(std::min<curl_off_t>(retry_after, 86400));
    bool const is_mail = t.message.channel == "email";
    if (t.refused != nullptr) {
        o.error = t.refused;
        o.is_final = true;
    } else if (code != CURLE_OK) {
        judge_failure(o, code, is_mail);
    } else if (is_mail) {
        o.delivered = true;
    } else {
        judge_http(o);
    }
    curl_multi_remove_handle(multi_, easy);
    curl_easy_cleanup(easy);
    running_.erase(entry);
    return o;
}

std::vector<outcome> deliveries::wait(int socket, int milliseconds)
{
    std::vector<outcome> done;
    done.swap(refused_);
    int still_running;
    curl_multi_perform(multi_, &still_running);
    curl_waitfd extra{};
    extra.fd = socket;
    extra.events = CURL_WAIT_POLLIN;
    bool const is_settled = !done.empty() || still_running < static_cast<int>(running_.size());
    curl_multi_poll(multi_, socket >= 0 ? &extra : nullptr, socket >= 0 ? 1 : 0,
                    is_settled ? 0 : milliseconds, nullptr);
    curl_multi_perform(multi_, &still_running);
    int left;
    while (const CURLMsg *const m = curl_multi_info_read(multi_, &left))
        if (m->msg == CURLMSG_DONE)
            done.push_back(finish(m->easy_handle, m->data.result));
    return done;
}

} // namespace notifier
