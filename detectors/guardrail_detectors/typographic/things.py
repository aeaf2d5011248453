"""Names of things that labels lie about: everyday objects, animals, food and vehicles."""

from __future__ import annotations

THINGS = frozenset(
    name.strip()
    for name in """
    airplane, plane, alligator, ambulance, apple, armchair, axe, backpack, bagel, ball,
    balloon, banana, baseball bat, baseball glove, basketball, bathtub, bear, bed, bee, bench,
    bicycle, bike, bird, blender, boat, bomb, book, boot, bottle, bowl, box, bread, bridge,
    broccoli, broom, bucket, burger, bus, butterfly, cactus, cake, camel, camera, candle,
    candy, canoe, car, carrot, castle, cat, cell phone, chainsaw, chair, cheese, cheetah,
    chicken, church, clock, coat, coffee, computer, cookie, couch, cow, crab, crocodile,
    crown, cup, deer, desk, dinosaur, dog, dolphin, donkey, donut, door, dragon, dress, drill,
    drone, drum, duck, eagle, egg, elephant, engine, envelope, feather, fire hydrant, fire
    truck, fish, flag, flower, flute, fork, fox, fridge, frisbee, frog, giraffe, glass, globe,
    goat, goldfish, gorilla, grape, grenade, guitar, gun, hair drier, hamburger, hammer,
    handbag, harp, hat, helicopter, helmet, hippo, horse, hot dog, ice cream, ipad, iphone,
    ipod, jacket, jeep, jellyfish, kangaroo, kettle, keyboard, kite, knife, koala, ladder,
    lamp, laptop, lemon, leopard, library, lighthouse, lion, lizard, lobster, map, medicine,
    microscope, microwave, mirror, monkey, monitor, moon, mop, motorbike, motorcycle,
    mountain, mouse, mug, mushroom, nail, necklace, octopus, orange, orchid, oven, owl, panda,
    parachute, parking meter, parrot, peach, peacock, pear, pen, pencil, penguin, person,
    phone, piano, pig, piggy bank, pigeon, pillow, pineapple, pistol, pizza, plate, police
    car, polar bear, popcorn, potted plant, pumpkin, puppy, rabbit, radio, rat, refrigerator,
    remote, rifle, ring, robot, rocket, rooster, rose, ruler, sailboat, sandwich, saxophone,
    scissors, scorpion, screwdriver, shark, sheep, ship, shoe, shoes, shovel, sink,
    skateboard, skis, snail, snake, snowboard, snowman, sock, sofa, spaceship, spider, spoon,
    sports ball, squirrel, starfish, stool, stop sign, strawberry, submarine, suitcase, sun,
    surfboard, swan, sword, syringe, table, tank, taxi, teapot, teddy bear, telephone,
    telescope, television, tennis ball, tennis racket, tent, tie, tiger, toaster, toilet,
    tomato, toothbrush, tractor, traffic light, train, tram, tree, trombone, truck, trumpet,
    tuba, turtle, tv, typewriter, umbrella, unicorn, vacuum cleaner, van, vase, violin,
    volcano, wallet, washing machine, watch, watermelon, wedding cake, whale, wheel,
    wheelbarrow, wine glass, wolf, worm, yacht, zebra
    """.replace("\n", " ").split(",")
)

# Those that shops, vehicles and roads carry of their own accord.
ON_SIGNS = frozenset(
    name.strip()
    for name in """
    ambulance, apple, bagel, basketball, bike, boat, book, bread, bus, cake, camera, car, cat,
    chicken, church, coffee, computer, cookie, dog, donut, engine, fire truck, fish, flower,
    glass, gun, hat, hot dog, ice cream, library, map, medicine, mountain, orange, phone,
    pizza, radio, ring, shoes, skis, stop sign, sun, taxi, television, toilet, train, tram,
    tv, van, watch, yacht
    """.replace("\n", " ").split(",")
)
