#pragma once
// Many deliveries at a time over libcurl: none waits for another.

#include "database.hpp"
#include "options.hpp"

#include <curl/curl.h>

#include <map>

namespace notifier
{

class deliveries
{
public:
    explicit deliveries(const options &o);
    ~deliveries();
    deliveries(const deliveries &) = delete;
    deliveries &operator=(const deliveries &) = delete;

    // The outcome comes from wait(), also when it could not even be started.
    void start(notification n);
    std::size_t count() const noexcept { return running_.size() + refused_.size(); }
    // Waits until something happens on a delivery or on `socket` (-1: none), then tells what ended.
    std::vector<outcome> wait(int socket, int milliseconds);

private:
    struct transfer;
    void prepare_mail(CURL *easy, transfer &t);
    void prepare_http(CURL *easy, transfer &t);
    outcome finish(CURL *easy, CURLcode code);

    const options &options_;
    CURLM *multi_;
    std::map<CURL *, std::unique_ptr<transfer>> running_;
    std::vector<outcome> refused_;
};

} // namespace notifier
