// Reading of numbers, uuids and keys.

#include "core/base/decimal.hpp"
#include "core/base/uuid.hpp"
#include "core/event/interner.hpp"
#include "core/event/metadata.hpp"

#include <gtest/gtest.h>

#include <string>

using namespace shadow;

TEST(Decimal, ReadsAndRounds)
{
    struct {
        const char *text;
        int scale;
        long long value;
        bool whole;
    } const cases[] = {{"0", 9, 0, true},
                       {"-0.0", 2, 0, true},
                       {"1.5", 1, 15, false},
                       {" 12 ", 0, 12, true},
                       {"+7", 0, 7, true},
                       {".5", 0, 1, false},
                       {"0.4999", 0, 0, false},
                       {"-0.5", 0, -1, false},
                       {"1e3", 0, 1000, true},
                       {"15e-1", 0, 2, false},
                       {"1500.0", 0, 1500, true},
                       {"0.30000000000000004", 9, 300000000, false},
                       {"5.", 0, 5, true},
                       {"1E+2", 0, 100, true},
                       {"0.00000000049", 9, 0, false},
                       {"0.0000000005", 9, 1, false},
                       {"0e999999999999", 9, 0, true},
                       {"1e-400", 9, 0, false}};
    for (auto const &c : cases) {
        scaled_number const n = parse_scaled(c.text, c.scale);
        EXPECT_TRUE(n.valid) << c.text;
        EXPECT_EQ(n.value, int128{c.value}) << c.text;
        EXPECT_EQ(n.is_whole, c.whole) << c.text;
    }
}

TEST(Decimal, RefusesWhatIsNoNumber)
{
    for (const char *text :
         {"", " ", "NaN", "Infinity", "0x10", "1e", "1e+", "1,5", "1 2", "--1", ".", "e5", "1e400"})
        EXPECT_FALSE(parse_scaled(text, 9).valid) << text;
    EXPECT_FALSE(parse_scaled(std::string(60, '9'), 0).valid);
    EXPECT_TRUE(parse_scaled(std::string(60, '0') + "1", 0).valid);
}

TEST(Decimal, WritesWithoutTrailingZeros)
{
    char buffer[64];
    EXPECT_EQ(format_scaled(0, 9, buffer), "0");
    EXPECT_EQ(format_scaled(1500000000, 9, buffer), "1.5");
    EXPECT_EQ(format_scaled(-1, 9, buffer), "-0.000000001");
    EXPECT_EQ(format_scaled(100, 0, buffer), "100");
    EXPECT_EQ(divide_rounded(5, 2), 3);
    EXPECT_EQ(divide_rounded(-5, 2), -3);
    EXPECT_EQ(divide_rounded(4, 3), 1);
}

TEST(Uuid, ReadsWhatPostgresReads)
{
    uuid const expected{0xA0EEBC999C0B4EF8u, 0xBB6D6BB9BD380A11u};
    for (const char *text :
         {"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
          "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}", "a0eebc999c0b4ef8bb6d6bb9bd380a11",
          "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11", "{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}"}) {
        auto const id = parse_uuid(text);
        ASSERT_TRUE(id) << text;
        EXPECT_TRUE(*id == expected) << text;
    }
    for (const char *text :
         {"", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a111",
          "g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", " a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
          "a0eebc9-99c0b-4ef8-bb6d-6bb9bd380a11", "{a0eebc999c0b4ef8bb6d6bb9bd380a11",
          "a0eebc99--9c0b4ef8bb6d6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11-"})
        EXPECT_FALSE(parse_uuid(text)) << text;
    char buffer[37];
    EXPECT_EQ(format_uuid(expected, buffer), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
}

TEST(Uuid, TakesNothingButDigitsInAnyPlace)
{
    std::string const text = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
    for (std::size_t at = 0; at < text.size(); ++at)
        for (int c = 0; c < 256; ++c) {
            std::string changed = text;
            changed[at] = static_cast<char>(c);
            auto const id = parse_uuid(changed);
            std::string_view const allowed = text[at] == '-' ? "-" : "0123456789abcdefABCDEF";
            ASSERT_EQ(id.has_value(), c != 0 && allowed.find(changed[at]) != allowed.npos) << at << ' ' << c;
            char buffer[37];
            if (!id)
                continue;
            changed[at] = static_cast<char>(c >= 'A' && c <= 'F' ? c + 'a' - 'A' : c);
            ASSERT_EQ(format_uuid(*id, buffer), changed);
        }
}

// Far more names than are remembered, some of which begin and end alike.
TEST(Interner, GivesANameTheSameNumberAgain)
{
    std::pmr::monotonic_buffer_resource memory;
    interner names(&memory);
    for (int round = 0; round < 2; ++round)
        for (int i = 0; i < 3000; ++i)
            for (event_type const type : {event_type::page_view, event_type::custom}) {
                std::string name(static_cast<std::size_t>(i % 40), 'n');
                if (i >= 40)
                    name = "beginning " + std::to_string(i) + " end of it";
                std::uint32_t const id = names.name_id(type, std::string_view(name));
                ASSERT_EQ(id, names.name_id(type, names.text_id(name)));
                ASSERT_EQ(names.text(names.name(id).text), name);
                ASSERT_TRUE(names.name(id).type == type);
            }
}

TEST(Metadata, FindsEachKeyAndNoOther)
{
    for (int i = 0; i < metadata_key_count; ++i) {
        auto const key = static_cast<metadata_key>(i);
        std::string name(name_of(key));
        EXPECT_EQ(find_metadata_key(name), key);
        name.back() = '_';
        EXPECT_EQ(find_metadata_key(name), metadata_key::none) << name;
    }
    EXPECT_EQ(find_metadata_key(""), metadata_key::none);
    EXPECT_EQ(find_metadata_key(std::string(300, 'x')), metadata_key::none);
}
