#pragma once
// A workspace of this database as core's questions see it. Every method runs queries inside pg::call; the
// caller is connected to SPI and has the rights of the extension's owner.

#include "core/questions/question.hpp"

#include "pg/prelude.hpp"

namespace shadow::entry
{

class question_host final : public questions::question_host
{
public:
    question_host(Datum workspace, questions::date today) : workspace_(workspace), today_(today) {}

    void scan(const questions::scan_request &request, questions::event_sink &sink) override;
    std::vector<questions::instant> day_starts(questions::date first, questions::date last) override;
    std::vector<questions::known_user> users() override;
    questions::date first_event_day() override;
    questions::date raw_events_since() override;
    questions::date complete_since(questions::date last) override;
    questions::price_list prices() override;
    questions::date first_known_day() override;
    std::vector<questions::date> unstored_days(questions::date first, questions::date last) override;
    void usage(const questions::usage_request &request, questions::usage_sink &sink) override;
    void active_users(questions::date first, questions::date last, questions::usage_sink &sink) override;
    std::uint32_t number_users(const questions::user_list &users,
                               std::vector<std::uint32_t> &numbers) override;
    bool saved_segment(std::string_view name, questions::stored_segment &out) override;

private:
    Datum workspace_;
    questions::date today_;
};

} // namespace shadow::entry
