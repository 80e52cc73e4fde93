#include "core/questions/experiment.hpp"

#include "core/base/decimal.hpp"

#include <algorithm>
#include <boost/math/distributions/beta.hpp>
#include <boost/math/distributions/chi_squared.hpp>
#include <boost/math/quadrature/gauss_kronrod.hpp>
#include <cmath>
#include <limits>
#include <map>

namespace shadow::questions
{

namespace
{

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

constexpr double z = 1.959963984540054; // the normal distribution is below it with 97.5 %

// P(variant > control) for shares with uniform priors: the control's distribution function over the variant's
// density, integrated where the density is.
double probability_of_better(std::int64_t control_users, std::int64_t control_conversions,
                             std::int64_t variant_users, std::int64_t variant_conversions)
{
    auto const share = [](std::int64_t conversions, std::int64_t users) {
        return boost::math::beta_distribution<>(static_cast<double>(conversions) + 1,
                                                static_cast<double>(users - conversions) + 1);
    };
    auto const control = share(control_conversions, control_users);
    auto const variant = share(variant_conversions, variant_users);
    double const middle = mean(variant);
    double const deviation = standard_deviation(variant);
    auto const integrand = [&](double x) { return pdf(variant, x) * cdf(control, x); };
    // The density beyond 12 standard deviations is below any digit shown.
    double sum = 0;
    for (int i = -12; i < 12; i += 3) {
        double const low = std::max(0.0, middle + i * deviation);
        double const high = std::min(1.0, middle + (i + 3) * deviation);
        if (low < high)
            sum +=
                boost::math::quadrature::gauss_kronrod<double, 31>::integrate(integrand, low, high, 8, 1e-10);
    }
    return std::min(1.0, std::max(0.0, sum));
}

void add_sequential(comparison &c, double variance, double tau)
{
    double const d = c.difference, both = variance + tau * tau;
    c.sequential_p_value =
        std::min(1.0, std::sqrt(both / variance) * std::exp(-tau * tau * d * d / (2 * variance * both)));
    double const half =
        std::sqrt(variance * both / (tau * tau) * (std::log(both / variance) - 2 * std::log(0.05)));
    c.sequential_low = std::max(-1.0, d - half);
    c.sequential_high = std::min(1.0, d + half);
}

void check_counts(std::int64_t users, std::int64_t conversions)
{
    if (users < 1 || conversions < 0 || conversions > users)
        throw error(errc::invalid_argument,
                    "conversions must be between 0 and the users, of whom there is at least one",
                    "There are " + std::to_string(conversions) + " conversions of " + std::to_string(users) +
                        " users.",
                    "Each user counts once, converted or not.");
}

} // namespace

interval score_interval(std::int64_t conversions, std::int64_t users) noexcept
{
    if (users == 0)
        return {nan, nan};
    double const n = static_cast<double>(users), p = static_cast<double>(conversions) / n;
    double const scale = 1 + z * z / n, middle = (p + z * z / (2 * n)) / scale;
    double const half = z * std::sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / scale;
    return {middle - half, middle + half};
}

comparison compare_conversions(std::int64_t control_users, std::int64_t control_conversions,
                               std::int64_t variant_users, std::int64_t variant_conversions,
                               double expected_effect)
{
    check_counts(control_users, control_conversions);
    check_counts(variant_users, variant_conversions);
    if (!(expected_effect > 0 && expected_effect <= 1))
        throw error(errc::invalid_argument, "expected_effect must be more than 0 and at most 1", {},
                    "It is a difference of two shares, such as 0.05.");
    double const nc = static_cast<double>(control_users), nv = static_cast<double>(variant_users);
    double const pc = static_cast<double>(control_conversions) / nc,
                 pv = static_cast<double>(variant_conversions) / nv;
    interval const c = score_interval(control_conversions, control_users);
    interval const v = score_interval(variant_conversions, variant_users);
    comparison out{};
    out.difference = pv - pc;
    out.difference_low = out.difference - std::hypot(pv - v.low, c.high - pc);
    out.difference_high = out.difference + std::hypot(v.high - pv, pc - c.low);
    out.lift = pc > 0 ? 100 * out.difference / pc : nan;
    double const pooled = static_cast<double>(control_conversions + variant_conversions) / (nc + nv);
    double const deviation = std::sqrt(pooled * (1 - pooled) * (1 / nc + 1 / nv));
    out.p_value = deviation > 0 ? std::erfc(std::fabs(out.difference / deviation) / std::sqrt(2.0)) : nan;
    out.probability_better =
        probability_of_better(control_users, control_conversions, variant_users, variant_conversions);
    double const variance = pc * (1 - pc) / nc + pv * (1 - pv) / nv;
    out.sequential_p_value = out.sequential_low = out.sequential_high = nan;
    if (variance > 0)
        add_sequential(out, variance, expected_effect);
    return out;
}

double equal_shares_p_value(const std::vector<std::int64_t> &users)
{
    double total = 0;
    for (std::int64_t const n : users)
        total += static_cast<double>(n);
    if (users.size() < 2 || total == 0)
        return nan;
    double const expected = total / static_cast<double>(users.size());
    double sum = 0;
    for (std::int64_t const n : users)
        sum += (static_cast<double>(n) - expected) * (static_cast<double>(n) - expected) / expected;
    return cdf(
        complement(boost::math::chi_squared_distribution<>(static_cast<double>(users.size() - 1)), sum));
}

namespace
{

// With `digits` decimals.
cell number_cell(double value, int digits)
{
    if (std::isnan(value))
        return {};
    return cell::decimal(static_cast<int128>(std::llround(value * std::pow(10.0, digits))), digits);
}

class experiment
{
public:
    experiment(question_host &host, const question_settings &settings) : question_(host, settings) {}

    void read(const json &definition)
    {
        arguments const given(definition, place(),
                              {"exposure", "variant", "goal", "start_date", "end_date", "control",
                               "conversion_window", "expected_effect", "segment", "filter"});
        question_.events.add_selector(given.require("exposure"), given.at("exposure"));
        question_.events.add_selector(given.require("goal"), given.at("goal"));
        given.require("variant");
        details_.slots.push_back(
            question_.events.add_property(given.text("variant", {}), given.at("variant")));
        details_.ids = true;
        control_ = given.text("control", "control");
        window_ = given.length("conversion_window", "14 days");
        if (const json *const effect = given.find("expected_effect")) {
            auto const n = effect->is_number() ? parse_scaled(effect->text, nano_scale) : scaled_number{};
            if (!n.valid || n.value <= 0 || n.value > nano)
                given.at("expected_effect")
                    .refuse("a difference of two shares is expected here",
                            "It is more than 0 and at most 1, such as 0.05.");
            expected_effect_ = static_cast<double>(n.value) / nano;
        }
        question_.read_range(given, period::total);
        question_.require_raw_events(question_.range.first, question_.last_day_after(window_));
        question_.read_common(given);
    }

    table answer()
    {
        event_stream stream = question_.scan(question_.range.from, question_.range.until + window_, details_,
                                             question::kept::matching);
        std::map<std::string, variant> variants;
        for (std::uint32_t u = 0; u < stream.users(); ++u)
            take(stream.events_of(u), stream, variants);
        return rows(variants);
    }

private:
    static constexpr int exposure = 0, goal = 1;
    static constexpr std::size_t most_variants = 100;

    struct variant {
        std::int64_t users = 0, conversions = 0, open = 0;
    };

    void take(const event_span &events, event_stream &stream, std::map<std::string, variant> &variants)
    {
        const stream_event *first = nullptr;
        for (stream_event const &e : events) {
            stream.poll()();
            if (!e.matches(exposure) || e.at >= question_.range.until || stream.value(e, 0) == 0)
                continue;
            if (first != nullptr && stream.value(*first, 0) != stream.value(e, 0)) {
                ++several_;
                return;
            }
            first = first == nullptr ? &e : first;
        }
        if (first == nullptr)
            return;
        variant &v = variants[stream.texts().text(stream.value(*first, 0))];
        if (variants.size() > most_variants)
            throw error(errc::limit_exceeded, "an experiment has too many variants",
                        "There are more than 100.", "Name the property that holds the variant.");
        bool const converted = std::any_of(events.begin(), events.end(), [&](const stream_event &e) {
            return &e != first && e.matches(goal) && e.at >= first->at && e.at - first->at <= window_;
        });
        ++v.users;
        v.conversions += converted ? 1 : 0;
        v.open += !converted && first->at + window_ >= question_.settings.as_of ? 1 : 0;
    }
    table rows(const std::map<std::string, variant> &variants) const
    {
        std::vector<std::int64_t> users;
        for (auto const &v : variants)
            users.push_back(v.second.users);
        double const srm = equal_shares_p_value(users);
        auto const control = variants.find(control_);
        table out(17);
        if (control != variants.end())
            add_row(out, control->first, control->second, nullptr, srm);
        for (auto v = variants.begin(); v != variants.end(); ++v)
            if (v != control)
                add_row(out, v->first, v->second, control == variants.end() ? nullptr : &control->second,
                        srm);
        if (several_ > 0) {
            out << cell::of_text("(several)") << cell::integer(several_);
            for (int i = 2; i < 17; ++i)
                out << cell{};
        }
        return out;
    }
    void add_row(table &out, const std::string &name, const variant &v, const variant *control,
                 double srm) const
    {
        interval const rate = score_interval(v.conversions, v.users);
        out << cell::of_text(name) << cell::integer(v.users) << cell::integer(v.conversions)
            << cell::integer(v.open) << percent_cell(v.conversions, v.users) << number_cell(100 * rate.low, 2)
            << number_cell(100 * rate.high, 2);
        comparison c{nan, nan, nan, nan, nan, nan, nan, nan, nan};
        if (control != nullptr)
            c = compare_conversions(control->users, control->conversions, v.users, v.conversions,
                                    expected_effect_);
        for (double const value :
             {c.difference, c.difference_low, c.difference_high, c.lift, c.p_value, c.probability_better,
              c.sequential_p_value, c.sequential_low, c.sequential_high})
            out << number_cell(value, 6);
        out << number_cell(srm, 6);
    }

    question question_;
    stream_details details_;
    std::string control_;
    std::int64_t window_ = 0;
    double expected_effect_ = 0.05;
    std::int64_t several_ = 0;
};

} // namespace

table answer_experiment(question_host &host, const question_settings &settings, const json &definition)
{
    experiment e(host, settings);
    e.read(definition);
    return e.answer();
}

} // namespace shadow::questions
