/* The shares of all supervisors add up, and are even. */
#include "../../../worker/src/share.h"
#include "unit.h"

static size_t share(size_t wanted, const int *rooms, size_t n, size_t who, unsigned turn) {
    struct share_place places[8];
    for (size_t i = 0; i < n; i++) {
        places[i] = (struct share_place){.room = rooms[i], .me = i == who};
    }
    return share_of(wanted, places, n, turn);
}

static void test_share__any_number_then_the_shares_add_up(void **state) {
    (void)state;
    static const int rooms[][4] = {{64, 64, 64, 64}, {1, 64, 2, 7}, {1024, 1, 1, 1}};
    for (size_t r = 0; r < sizeof rooms / sizeof rooms[0]; r++) {
        for (size_t n = 1; n <= 4; n++) {
            for (size_t wanted = 0; wanted <= 70; wanted++) {
                for (unsigned turn = 0; turn < 5; turn++) {
                    size_t sum = 0;
                    for (size_t who = 0; who < n; who++) {
                        sum += share(wanted, rooms[r], n, who, turn);
                    }
                    assert_int_equal(wanted, sum);
                }
            }
        }
    }
}

static void test_share__equal_rooms_then_none_has_two_more_than_another(void **state) {
    (void)state;
    static const int rooms[] = {64, 64, 64};
    for (size_t wanted = 0; wanted <= 64; wanted++) {
        for (size_t who = 0; who < 3; who++) {
            size_t mine = share(wanted, rooms, 3, who, 1);
            assert_true(mine == wanted / 3 || mine == wanted / 3 + 1);
        }
    }
}

static void test_share__little_room_then_little_share(void **state) {
    (void)state;
    static const int rooms[] = {2, 6};
    assert_int_equal(2, share(8, rooms, 2, 0, 0));
    assert_int_equal(6, share(8, rooms, 2, 1, 0));
    assert_int_equal(1, share(4, rooms, 2, 0, 0));
}

static void test_share__one_each_of_many_queues_then_not_all_in_one_place(void **state) {
    (void)state;
    static const int rooms[] = {64, 64};
    size_t first = 0;
    for (unsigned turn = 0; turn < 8; turn++) {
        first += share(1, rooms, 2, 0, turn);
    }
    assert_int_equal(4, first);
}

static void test_share__not_among_them_then_none(void **state) {
    (void)state;
    static const int rooms[] = {64, 64};
    assert_int_equal(0, share(8, rooms, 2, 5, 0));
    assert_int_equal(0, share(8, rooms, 0, 0, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_share__any_number_then_the_shares_add_up),
        cmocka_unit_test(test_share__equal_rooms_then_none_has_two_more_than_another),
        cmocka_unit_test(test_share__little_room_then_little_share),
        cmocka_unit_test(test_share__one_each_of_many_queues_then_not_all_in_one_place),
        cmocka_unit_test(test_share__not_among_them_then_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
