// The fuzz targets on their corpora: what they have found stays mended. A target aborts where a property fails.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#define LLVMFuzzerTestOneInput claims_fuzz_one_input
#include "../../fuzz/claims_fuzz.cpp"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput decimal_fuzz_one_input
#include "../../fuzz/decimal_fuzz.cpp"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput event_fuzz_one_input
#include "../../fuzz/event_fuzz.cpp"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput quantile_sketch_fuzz_one_input
#include "../../fuzz/quantile_sketch_fuzz.cpp"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput questions_fuzz_one_input
#include "../../fuzz/questions_fuzz.cpp"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput redact_fuzz_one_input
#include "../../fuzz/redact_fuzz.cpp"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput sessions_fuzz_one_input
#include "../../fuzz/sessions_fuzz.cpp"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput user_set_fuzz_one_input
#include "../../fuzz/user_set_fuzz.cpp"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput uuid_fuzz_one_input
#include "../../fuzz/uuid_fuzz.cpp"
#undef LLVMFuzzerTestOneInput

namespace
{

using target = int (*)(const std::uint8_t *, std::size_t);

const std::pair<const char *, target> targets[] = {
    {"claims", claims_fuzz_one_input},       {"decimal", decimal_fuzz_one_input},
    {"event", event_fuzz_one_input},         {"quantile_sketch", quantile_sketch_fuzz_one_input},
    {"questions", questions_fuzz_one_input}, {"redact", redact_fuzz_one_input},
    {"sessions", sessions_fuzz_one_input},   {"user_set", user_set_fuzz_one_input},
    {"uuid", uuid_fuzz_one_input},
};
const std::filesystem::path fuzz_folder = TEST_DATA_DIR "/../fuzz";

TEST(FuzzCorpora, HoldWhatTheTargetsPromise)
{
    for (auto const &[name, run] : targets) {
        int files = 0;
        for (auto const &entry : std::filesystem::directory_iterator(fuzz_folder / "corpus" / name)) {
            std::ifstream in(entry.path(), std::ios::binary);
            std::vector<std::uint8_t> const input{std::istreambuf_iterator<char>(in), {}};
            SCOPED_TRACE(entry.path().string());
            EXPECT_EQ(run(input.data(), input.size()), 0);
            ++files;
        }
        EXPECT_GT(files, 0) << name;
    }
}

// Texts of the pieces that its rules are about, where rules meet. Hardly one may need more passes than there are.
TEST(Redaction, OfGeneratedTextsIsDoneWithOnce)
{
    std::mt19937 random(1);
    int given_up = 0;
    for (int i = 0; i < 20000; ++i) {
        std::vector<std::uint8_t> bytes(1 + random() % 25);
        for (auto &byte : bytes)
            byte = static_cast<std::uint8_t>(random());
        auto const text = redact_fuzz::in_pieces(bytes.data(), bytes.size());
        auto const once = redact_fuzz::check(text);
        EXPECT_EQ(shadow::redact(once), std::string_view(once)) << text;
        given_up += once == "[message]" ? 1 : 0;
    }
    EXPECT_LE(given_up, 2);
}

TEST(FuzzCorpora, AreThereForEachTarget)
{
    std::size_t sources = 0;
    for (auto const &entry : std::filesystem::directory_iterator(fuzz_folder))
        sources += entry.path().filename().string().find("_fuzz.cpp") != std::string::npos ? 1 : 0;
    EXPECT_EQ(sources, std::size(targets));
}

} // namespace
